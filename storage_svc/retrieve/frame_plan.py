"""Which frames are sent, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imaging.errors import InvalidArgument, NotFound
from imaging.storage.v1 import storage_service_pb2

Order = storage_service_pb2.RetrieveFramesRequest.Order


@dataclass(frozen=True, slots=True)
class FramesOf:
    """Frames of one instance; `frame_numbers` count from 1."""

    sop_instance_uid: str
    frame_numbers: Sequence[int]


def checked_frames(sop_instance_uid: str, number_of_frames: int, asked: Sequence[int]) -> FramesOf:
    """The frames asked for; all when none is named.

    Raises
    ------
    InvalidArgument
        If the instance has no pixel data.
    NotFound
        If it has no such frame.
    """
    if number_of_frames < 1:
        raise InvalidArgument(
            "The instance has no pixel data, or lacks the attributes that tell how to read it",
            where=sop_instance_uid,
            hint="Its warnings tell which; retrieve its metadata, or the whole instance.",
        )
    for number in asked:
        if not 1 <= number <= number_of_frames:
            raise NotFound(
                f"There is no frame {number}, the instance has {number_of_frames}",
                where=sop_instance_uid,
                hint="Frame numbers count from 1.",
            )
    return FramesOf(sop_instance_uid, asked or range(1, number_of_frames + 1))


def ordered(frames: Sequence[FramesOf], order: int) -> list[FramesOf]:
    """The frames in the order of sending; neighbours of one instance stay together."""
    if order not in (Order.ORDER_CENTRE_OUT, Order.ORDER_DECIMATED):
        return list(frames)
    singles = [(of.sop_instance_uid, number) for of in frames for number in of.frame_numbers]
    positions = centre_out(len(singles)) if order == Order.ORDER_CENTRE_OUT else decimated(len(singles))
    grouped: list[FramesOf] = []
    run: list[int] = []
    uid = ""
    for position in positions:
        next_uid, number = singles[position]
        if next_uid != uid and run:
            grouped.append(FramesOf(uid, run))
            run = []
        uid = next_uid
        run.append(number)
    return [*grouped, FramesOf(uid, run)] if run else grouped


def centre_out(count: int) -> Iterator[int]:
    """0 to count - 1, the middle first, then alternating outwards."""
    middle = count // 2
    for distance in range(count):
        if distance == 0:
            yield middle
            continue
        for position in (middle - distance, middle + distance):
            if 0 <= position < count:
                yield position


def decimated(count: int) -> Iterator[int]:
    """0 to count - 1: first, middle, last, then every fourth, then the rest."""
    if count == 0:
        return
    seen = dict.fromkeys((0, count // 2, count - 1))
    yield from seen
    fourths = [position for position in range(0, count, 4) if position not in seen]
    yield from fourths
    seen.update(dict.fromkeys(fourths))
    yield from (position for position in range(count) if position not in seen)
