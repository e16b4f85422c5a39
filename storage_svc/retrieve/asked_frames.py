"""What frames a request names, and where they are kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Final, Protocol

from imaging.database import Database
from imaging.errors import InvalidArgument
from storage_svc.index.object_rows import instances_below, instances_by_uid
from storage_svc.names import parse_name
from storage_svc.retrieve.frame_plan import FramesOf, checked_frames
from storage_svc.retrieve.frame_source import FrameGroup, Row, frame_groups

_BATCH: Final = 100
_SMALL: Final = ("study_instance_uid", "series_instance_uid", "number_of_frames")
"""What is remembered of each instance when many are asked for."""


class Selection(Protocol):
    """Frames of one instance, as requests select them."""

    @property
    def instance(self) -> str:
        """`studies/{uid}/series/{uid}/instances/{uid}`."""

    @property
    def frame_numbers(self) -> Iterable[int]:
        """Count from 1; none: all."""


async def frames_of_series(database: Database, series: str) -> list[FramesOf]:
    """All frames of a series.

    Raises
    ------
    NotFound, InvalidArgument
        If it is not there, or has no pixels.
    """
    frames = [
        FramesOf(row["sop_instance_uid"], range(1, row["number_of_frames"] + 1))
        async for row in instances_below(database, parse_name(series, 2))
        if row["number_of_frames"]
    ]
    if not frames:
        raise InvalidArgument("The series has no pixel data", where=series, hint="Retrieve its metadata or instances.")
    return frames


async def frames_selected(
    database: Database, selections: Sequence[Selection]
) -> tuple[list[FramesOf], Mapping[str, Row]]:
    """The frames selected; and the rows of these instances, if they are few.

    Raises
    ------
    NotFound, InvalidArgument
        If one of them is not there, or has no pixels.
    """
    asked = [(parse_name(selection.instance, 3), selection.frame_numbers) for selection in selections]
    found: dict[str, Row] = {}
    few = len(asked) <= _BATCH
    for start in range(0, len(asked), _BATCH):
        rows = await _rows(database, [name.sop_instance_uid for name, _ in asked[start : start + _BATCH]])
        found |= rows if few else {uid: {key: row[key] for key in _SMALL} for uid, row in rows.items()}
    frames: list[FramesOf] = []
    for name, numbers in asked:
        row = found[name.sop_instance_uid]
        if (row["study_instance_uid"], row["series_instance_uid"]) != (
            name.study_instance_uid,
            name.series_instance_uid,
        ):
            raise name.not_found()
        frames.append(checked_frames(name.sop_instance_uid, row["number_of_frames"], list(numbers)))
    return frames, found if few else {}


async def groups_of(
    database: Database, plan: Sequence[FramesOf], known: Mapping[str, Row]
) -> AsyncGenerator[FrameGroup]:
    """The reads that give these frames, in order.

    Parameters
    ----------
    known
        Rows of all of their instances, or nothing.
    """
    for start in range(0, len(plan), _BATCH):
        batch = plan[start : start + _BATCH]
        rows = known or await _rows(database, [of.sop_instance_uid for of in batch])
        for of in batch:
            for group in frame_groups(rows[of.sop_instance_uid], of.frame_numbers):
                yield group


async def _rows(database: Database, sop_instance_uids: Sequence[str]) -> dict[str, Row]:
    """Rows of instances by their UID, with where the parts of their objects are."""
    rows = await instances_by_uid(database, list(dict.fromkeys(sop_instance_uids)))
    return {row["sop_instance_uid"]: row for row in rows}
