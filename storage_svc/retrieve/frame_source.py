"""Frames out of an object: one verified read for a small object, joined ranges of a large one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.frame_index import FrameIndex
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import PixelDataInvalid
from imaging.objectstore import ObjectStore
from storage_svc.ingest.arrival import pixels_of
from storage_svc.keeping.verified_object import read_range, read_whole
from storage_svc.metadata.pieces import header_of

VERIFIED_BYTES = 16 * 1024 * 1024
"""Objects up to this size are read whole, so that their checksum proves each frame."""

GROUP_BYTES = 2 * 1024 * 1024
"""How much of a larger object is read at once; the checksums of its pieces prove that. 8 MiB were not faster, and four
streams together took 150 MiB more."""

Row = Mapping[str, Any]
Bytes = bytes | NDArray[np.uint8]
"""Of an array, a slice is no copy; checksums and joins take both."""


@dataclass(frozen=True, slots=True)
class FrameGroup:
    """Frames that are read together; `frame_numbers` count from 1."""

    row: Row
    frames: FrameIndex
    frame_numbers: Sequence[int]
    with_header: bool = False
    """The header of the instance is sent before the first of them."""


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """One frame as it is kept."""

    row: Row
    frame_number: int
    content: Bytes
    transfer_syntax_uid: str
    pixels: PixelDescription
    pixel_tag: int
    pixel_vr: str
    bit_offset: int


def frame_groups(row: Row, frame_numbers: Sequence[int]) -> Iterator[FrameGroup]:
    """The reads that give these frames, in order.

    Raises
    ------
    PixelDataInvalid
        If it is not known where the frames are.
    """
    if row["frames"] is None or not row["pixels"]:
        raise PixelDataInvalid(
            "Where the frames of the instance are cannot be told from its pixel data",
            where=row["sop_instance_uid"],
            hint="Its warnings say why; retrieve the whole instance.",
        )
    frames = FrameIndex.from_bytes(row["frames"])
    for number in frame_numbers:
        if number > frames.frame_count:
            raise PixelDataInvalid(
                f"Frame {number} has no bytes of its own, the pixel data holds {frames.frame_count}",
                where=row["sop_instance_uid"],
                hint="Videos are one stream: retrieve the whole instance.",
            )
    if row["size_bytes"] <= VERIFIED_BYTES or row["inflated"]:
        yield FrameGroup(row, frames, frame_numbers)
        return
    group: list[int] = []
    size = 0
    for number in frame_numbers:
        length = frames.frame_bytes(number - 1)
        if group and (size + length > GROUP_BYTES or number != group[-1] + 1):
            yield FrameGroup(row, frames, group)
            group, size = [], 0
        group.append(number)
        size += length
    if group:
        yield FrameGroup(row, frames, group)


def read_size(group: FrameGroup) -> int:
    """Bytes that reading a group takes."""
    row = group.row
    if row["inflated"] or row["size_bytes"] <= VERIFIED_BYTES:
        return int(row["size_bytes"]) + (int(row["header_end"]) if row["inflated"] else 0)
    return sum(group.frames.frame_bytes(number - 1) for number in group.frame_numbers)


def read_frames(store: ObjectStore, group: FrameGroup) -> Iterator[StoredFrame]:
    """The frames of a group; blocks.

    Raises
    ------
    DataLoss
        If stored bytes are gone or damaged.
    """
    row, frames = group.row, group.frames
    syntax = row["transfer_syntax_uid"]
    base = 0
    if frames.inflated:
        data = inflate_data_set(read_whole(store, row), row["data_set_offset"])
        syntax = EXPLICIT_VR_LITTLE_ENDIAN
    elif row["size_bytes"] <= VERIFIED_BYTES:
        data = read_whole(store, row)
    else:
        ranges = [piece for number in group.frame_numbers for piece in frames.ranges(number - 1)]
        base = min(offset for offset, _ in ranges)
        data = read_range(store, row, base, max(offset + length for offset, length in ranges) - base)
    return frames_in(np.frombuffer(data, np.uint8), base, group, syntax)


def read_header_and_frames(store: ObjectStore, group: FrameGroup) -> tuple[bytes, str, Iterator[StoredFrame]]:
    """The data set up to the pixel data, its transfer syntax, and the frames of a group; blocks.

    Raises
    ------
    DataLoss
        If stored bytes are gone or damaged.
    """
    row = group.row
    if group.frames.inflated or row["size_bytes"] > VERIFIED_BYTES:
        return *header_of(store, row), read_frames(store, group)
    data, syntax = read_whole(store, row), row["transfer_syntax_uid"]
    header = data[row["data_set_offset"] : row["header_end"]]
    return header, syntax, frames_in(np.frombuffer(data, np.uint8), 0, group, syntax)


def frames_in(data: NDArray[np.uint8], base: int, group: FrameGroup, transfer_syntax_uid: str) -> Iterator[StoredFrame]:
    """The frames of a group out of `data`, shape (n,): bytes of their object from offset `base` on."""
    row, frames = group.row, group.frames
    pixels, tag, vr = pixels_of(row["pixels"])
    for number in group.frame_numbers:
        pieces = frames.ranges(number - 1)
        parts = [data[offset - base : offset - base + length] for offset, length in pieces]
        yield StoredFrame(
            row=row,
            frame_number=number,
            content=parts[0] if len(parts) == 1 else b"".join(part.data for part in parts),
            transfer_syntax_uid=transfer_syntax_uid,
            pixels=pixels,
            pixel_tag=tag,
            pixel_vr=vr,
            bit_offset=frames.bit_offset(number - 1),
        )
