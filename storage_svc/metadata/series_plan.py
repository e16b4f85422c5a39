"""Which parts of a series' metadata come from which segment, and which have to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from storage_svc.metadata.segment import SEGMENT_BYTES, SEGMENT_INSTANCES
from storage_svc.metadata.segment_rows import Listing, Live


class Place(NamedTuple):
    """Where a piece is kept: its segment, and the position there."""

    segment_id: str
    position: int


class Whole(NamedTuple):
    """A segment that holds exactly the instances that come next."""

    segment_id: str


class Mixed(NamedTuple):
    """Instances that no single segment holds in this order; each with where it is kept, if it is."""

    instances: tuple[tuple[Live, Place | None], ...]


Part = Whole | Mixed


def series_plan(wanted: Sequence[Live], segments: Mapping[str, Listing], *, merge_small: bool = False) -> list[Part]:
    """The parts that together are the wanted instances, in order.

    Parameters
    ----------
    merge_small
        Take no segment as a whole that is less than half full: what comes in slowly would stay in many small ones.
    """
    places: dict[Live, Place] = {}
    for segment_id, listing in segments.items():
        for position, entry in enumerate(listing.entries):
            places[Live(entry.sop_instance_uid, entry.content)] = Place(segment_id, position)
    parts: list[Part] = []
    mixed: list[tuple[Live, Place | None]] = []

    def close() -> None:
        starts = range(0, len(mixed), SEGMENT_INSTANCES)
        parts.extend(Mixed(tuple(mixed[start : start + SEGMENT_INSTANCES])) for start in starts)
        mixed.clear()

    at = 0
    while at < len(wanted):
        place = places.get(wanted[at])
        if place is not None and place.position == 0:
            listing = segments[place.segment_id]
            end = at + len(listing.entries)
            if _holds(listing, wanted[at:end]) and not (merge_small and _is_small(listing)):
                close()
                parts.append(Whole(place.segment_id))
                at = end
                continue
        mixed.append((wanted[at], place))
        at += 1
    close()
    return parts


def _holds(listing: Listing, wanted: Sequence[Live]) -> bool:
    return len(listing.entries) == len(wanted) and all(
        entry.sop_instance_uid == live.sop_instance_uid and entry.content == live.content
        for entry, live in zip(listing.entries, wanted, strict=True)
    )


def _is_small(listing: Listing) -> bool:
    return (
        len(listing.entries) < SEGMENT_INSTANCES // 2
        and sum(entry.model_bytes for entry in listing.entries) < SEGMENT_BYTES // 2
    )
