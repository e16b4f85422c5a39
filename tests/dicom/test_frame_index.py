"""Frame ranges: from native pixel data, offset tables and fragments; the bytes are those that pydicom finds."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames, itemize_frame

from imaging.dicom.frame_index import FrameIndex, FrameSource
from imaging.dicom.limits import ScanLimits
from imaging.dicom.scan_warning import has_warning
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from imaging.dicom.transfer_syntax import (
    ENCAPSULATED_UNCOMPRESSED,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE_8BIT,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)
from imaging.errors import DataLoss, InvalidArgument, InvalidDicom, LimitExceeded, TruncatedDicom
from tests.dicom.part10 import UNDEFINED, data_set, element, encapsulated, file_meta, image, part10, text, us
from tests.dicom.test_scan_wheel_files import INSTANCES, name

MPEG2 = "1.2.840.10008.1.2.4.100"


def jpeg(index: int, size: int = 30) -> bytes:
    """Something that begins and ends as a JPEG does, different for each frame, of even length."""
    body = bytes((index * 7 + at) % 200 for at in range(size))
    return b"\xff\xd8\xff\xe0" + body + bytes(size % 2) + b"\xff\xd9"


def file_with(
    pixel_element: bytes,
    frames: int,
    *,
    syntax: str = JPEG_BASELINE_8BIT,
    extra: dict[int, tuple[str, bytes]] | None = None,
) -> bytes:
    values = image() | {0x00280008: ("IS", text(str(frames)))} | (extra or {})
    del values[0x7FE00010]
    return file_meta(syntax) + data_set(values) + pixel_element


def from_value(value: bytes) -> bytes:
    """The pixel data element of a value that pydicom encapsulated."""
    return element(0x7FE00010, "OB", value, length=UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def frame_bytes(data: bytes, index: FrameIndex) -> list[bytes]:
    return [
        b"".join(data[offset : offset + length] for offset, length in index.ranges(frame))
        for frame in range(index.frame_count)
    ]


def index_of(data: bytes) -> tuple[FrameIndex, ScannedInstance]:
    instance = scan(data)
    assert instance.frames is not None
    packed = instance.frames.to_bytes()
    assert FrameIndex.from_bytes(packed) == instance.frames
    assert frame_bytes(data, FrameIndex.from_bytes(packed)) == frame_bytes(data, instance.frames)
    return instance.frames, instance


frame_lists = st.lists(
    st.binary(min_size=13, max_size=60).map(lambda raw: b"\xff\xd8\xff" + raw.replace(b"\xff", b"\xfe")),
    min_size=1,
    max_size=8,
)


@given(frames=frame_lists, fragments=st.integers(1, 4), has_bot=st.booleans())
@settings(max_examples=80, deadline=None)
def test_basic_offset_table_and_fragments_give_the_frames_of_pydicom(
    frames: list[bytes], fragments: int, has_bot: bool
) -> None:
    value = encapsulate(frames, fragments_per_frame=fragments, has_bot=has_bot)
    data = file_with(from_value(value), len(frames))
    index, instance = index_of(data)
    assert index.frame_count == len(frames)
    if has_bot:
        assert index.source is FrameSource.BASIC_OFFSET_TABLE
        assert frame_bytes(data, index) == list(generate_frames(value, number_of_frames=len(frames)))
    else:
        padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
        assert frame_bytes(data, index) == padded
    assert not has_warning(instance.warnings, "offset_table")
    assert not has_warning(instance.warnings, "pixel_mismatch")


@given(frames=frame_lists)
@settings(max_examples=50, deadline=None)
def test_extended_offset_table_gives_the_frames_without_padding(frames: list[bytes]) -> None:
    value, offsets, _ = encapsulate_extended(frames)
    # pydicom counts the padding byte, the Standard does not (PS3.3 C.7.6.3.1.8): both are understood.
    lengths = struct.pack(f"<{len(frames)}Q", *map(len, frames))
    extra = {0x7FE00001: ("OV", offsets), 0x7FE00002: ("OV", lengths)}
    data = file_with(from_value(value), len(frames), extra=extra)
    index, instance = index_of(data)
    assert index.source is FrameSource.EXTENDED_OFFSET_TABLE
    assert frame_bytes(data, index) == frames
    assert frame_bytes(data, index) == list(generate_frames(value, extended_offsets=(offsets, lengths)))
    assert instance.warnings == ()


@pytest.mark.parametrize("path", INSTANCES, ids=name)
def test_frames_of_wheel_files_are_those_of_pydicom(path: Path) -> None:
    data = path.read_bytes()
    instance = scan(data, require_pixel_data=False)
    if instance.pixel_data is None or not instance.pixel_data.encapsulated:
        return
    index, _ = index_of(data)
    assert instance.pixels is not None
    start = instance.pixel_data.value_offset
    value = data[start : start + instance.pixel_data.value_length]
    assert frame_bytes(data, index) == list(generate_frames(value, number_of_frames=instance.pixels.number_of_frames))


def test_one_fragment_each_without_a_table() -> None:
    frames = [jpeg(index) for index in range(5)]
    data = file_with(encapsulated(frames), 5)
    index, _ = index_of(data)
    assert index.source is FrameSource.ONE_FRAGMENT_EACH
    assert frame_bytes(data, index) == frames


def test_all_fragments_of_a_single_frame() -> None:
    fragments = list(itemize_frame(jpeg(1, 200), 4))
    data = file_with(encapsulated(fragment[8:] for fragment in fragments), 1)
    index, _ = index_of(data)
    assert index.source is FrameSource.SINGLE_FRAME
    assert len(index.ranges(0)) == 4
    assert frame_bytes(data, index) == [jpeg(1, 200)]


def pieces(frame: bytes, *ends: int) -> list[bytes]:
    bounds = [0, *ends, len(frame)]
    return [frame[begin:end] for begin, end in pairwise(bounds)]


@pytest.mark.parametrize(
    ("syntax", "start"),
    [
        (JPEG_BASELINE_8BIT, b"\xff\xd8\xff\xe0"),
        (JPEG_LS_LOSSLESS, b"\xff\xd8\xff\xf7"),
        (JPEG_2000_LOSSLESS, b"\xff\x4f\xff\x51"),
        (JPEG_2000_LOSSLESS, b"\0\0\0\x0cjP  \r\n\x87\n"),
    ],
)
def test_frames_are_told_by_how_codestreams_begin(syntax: str, start: bytes) -> None:
    frames = [start + bytes(20 * (index + 1)) for index in range(3)]
    fragments = [*pieces(frames[0], 12), frames[1], *pieces(frames[2], 20, 40)]
    data = file_with(encapsulated(fragments), 3, syntax=syntax)
    index, instance = index_of(data)
    assert index.source is FrameSource.CODESTREAM_STARTS
    assert frame_bytes(data, index) == frames
    assert not has_warning(instance.warnings, "pixel_mismatch")


def test_frames_are_told_by_how_codestreams_end_where_starts_do_not() -> None:
    frames = [bytes([index] * 30) + b"\xff\xd9" for index in range(1, 4)]
    fragments = [piece for frame in frames for piece in pieces(frame, 16)]
    data = file_with(encapsulated(fragments), 3)
    index, _ = index_of(data)
    assert frame_bytes(data, index) == frames


@pytest.mark.parametrize("frames", [2, 4])
def test_fragments_that_belong_to_no_frame_for_sure_give_no_index(frames: int) -> None:
    instance = scan(file_with(encapsulated([bytes(10)] * 7), frames, syntax=RLE_LOSSLESS))
    assert instance.frames is None
    assert has_warning(instance.warnings, "pixel_mismatch")


def test_fewer_fragments_than_frames_are_told() -> None:
    frames = [jpeg(0), jpeg(1)]
    data = file_with(encapsulated(frames), 5)
    index, instance = index_of(data)
    assert frame_bytes(data, index) == frames
    assert has_warning(instance.warnings, "pixel_mismatch")


def test_no_fragments_at_all_are_told() -> None:
    instance = scan(file_with(encapsulated([]), 1))
    assert instance.frames is None
    assert has_warning(instance.warnings, "pixel_mismatch")


def test_video_is_one_stream() -> None:
    data = file_with(encapsulated([bytes(20), bytes(30)]), 250, syntax=MPEG2)
    index, instance = index_of(data)
    assert index.source is FrameSource.VIDEO_STREAM
    assert index.frame_count == 1
    assert frame_bytes(data, index) == [bytes(50)]
    assert instance.warnings == ()


FOUR = [jpeg(index, 20 + 10 * index) for index in range(4)]


@pytest.mark.parametrize(
    "table",
    [
        struct.pack("<4I", 0, 32, 74, 126),
        struct.pack("<4I", 0, 0, 0, 0),
        struct.pack("<4I", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        struct.pack("<4I", 4, 38, 80, 132),
        struct.pack("<3I", 0, 34, 78),
        struct.pack("<5I", 0, 34, 78, 132, 400),
        struct.pack("<4I", 0, 78, 34, 132),
        b"\0\0\0\0\0\0",
        b"\1",
    ],
)
def test_wrong_basic_offset_table_is_told_and_rebuilt_from_fragments(table: bytes) -> None:
    data = file_with(encapsulated(FOUR, table=table), 4)
    index, instance = index_of(data)
    assert has_warning(instance.warnings, "offset_table")
    assert frame_bytes(data, index) == FOUR


@pytest.mark.parametrize("wrong", ["offsets", "lengths", "count", "huge", "no lengths"])
def test_wrong_extended_offset_table_is_told_and_rebuilt_from_fragments(wrong: str) -> None:
    value, offsets, lengths = encapsulate_extended(FOUR)
    if wrong == "offsets":
        offsets = struct.pack("<4Q", 0, 10, 20, 30)
    elif wrong == "lengths":
        lengths = struct.pack("<4Q", 1, 2, 3, 4)
    elif wrong == "count":
        offsets, lengths = offsets[:24], lengths[:24]
    elif wrong == "huge":
        offsets = struct.pack("<4Q", 0, 2**64 - 1, 2**63, 2**40)
    extra = {0x7FE00001: ("OV", offsets), 0x7FE00002: ("OV", lengths)}
    if wrong == "no lengths":
        del extra[0x7FE00002]
    data = file_with(from_value(value), 4, extra=extra)
    index, instance = index_of(data)
    assert has_warning(instance.warnings, "offset_table")
    assert frame_bytes(data, index) == FOUR


def test_odd_fragment_is_told_and_found() -> None:
    data = file_with(encapsulated([b"\xff\xd8\xff\x00\x01", b"\xff\xd8\xff"]), 2)
    index, instance = index_of(data)
    assert has_warning(instance.warnings, "odd_length")
    assert frame_bytes(data, index) == [b"\xff\xd8\xff\x00\x01", b"\xff\xd8\xff"]


def test_fragment_past_the_end_is_truncated() -> None:
    body = encapsulated([bytes(10)], close=False)[:-4]
    with pytest.raises(TruncatedDicom, match="10 bytes, 6 are there"):
        scan(file_with(body, 1))


def test_fragments_without_delimiter_are_truncated() -> None:
    with pytest.raises(TruncatedDicom, match="not closed"):
        scan(file_with(encapsulated([bytes(10)], close=False), 1))


def test_fragment_of_undefined_length_is_refused() -> None:
    item = element(0xFFFEE000, "", b"", length=UNDEFINED)
    body = element(0x7FE00010, "OB", element(0xFFFEE000, "", b"") + item + bytes(20), length=UNDEFINED)
    with pytest.raises(InvalidDicom, match="undefined length"):
        scan(file_with(body, 1))


def test_something_else_than_a_fragment_is_refused() -> None:
    body = element(0x7FE00010, "OB", element(0xFFFEE000, "", b"") + bytes(20), length=UNDEFINED)
    with pytest.raises(InvalidDicom, match="Expected a fragment"):
        scan(file_with(body, 1))


def test_missing_offset_table_item_is_refused() -> None:
    body = element(0x7FE00010, "OB", struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), length=UNDEFINED)
    with pytest.raises(InvalidDicom, match="Basic Offset Table item"):
        scan(file_with(body, 1))


def test_number_of_fragments_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="10 fragments"):
        scan(file_with(encapsulated([b""] * 12), 12), limits=ScanLimits(max_fragments=10))


def test_encapsulated_uncompressed_frames_are_found() -> None:
    frames = [bytes([index] * 32) for index in range(3)]
    data = file_with(encapsulated(frames), 3, syntax=ENCAPSULATED_UNCOMPRESSED)
    assert frame_bytes(data, index_of(data)[0]) == frames


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), frames=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_bits_of_frames_that_are_not_whole_bytes_are_found(rows: int, columns: int, frames: int) -> None:
    pixels = np.arange(rows * columns * frames).reshape(frames, rows * columns) * 7919 % 5 < 2
    packed = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    values = image(rows, columns, pixel_data=packed + b"\0" * (len(packed) % 2))
    values |= {0x00280100: ("US", us(1)), 0x00280101: ("US", us(1)), 0x00280102: ("US", us(0))}
    data = part10(values | {0x00280008: ("IS", text(str(frames)))})
    index, instance = index_of(data)
    assert instance.warnings == ()
    assert index.byte_aligned == (rows * columns % 8 == 0)
    for frame, raw in enumerate(frame_bytes(data, index)):
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
        first = index.bit_offset(frame)
        assert np.array_equal(bits[first : first + rows * columns], pixels[frame])
        assert index.frame_bytes(frame) == len(raw)


def test_packed_index_takes_four_bytes_a_frame() -> None:
    data = file_with(encapsulated([jpeg(index) for index in range(100)]), 100)
    assert len(index_of(data)[0].to_bytes()) <= 37 + 4 * 100


def test_frame_that_is_not_there_is_refused() -> None:
    index = scan(part10(image())).frames
    assert index is not None
    for frame in (-1, 1, 2**40):
        with pytest.raises(InvalidArgument, match="frame number"):
            index.ranges(frame)


@given(damage=st.integers(0, 60), byte=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_damaged_index_is_noticed_or_harmless(damage: int, byte: int) -> None:
    packed = bytearray(scan(file_with(encapsulated(FOUR), 4)).frames.to_bytes())  # type: ignore[union-attr]  # is there
    if damage < len(packed):
        packed[damage] = byte
    else:
        del packed[damage % len(packed) :]
    try:
        index = FrameIndex.from_bytes(bytes(packed))
    except DataLoss:
        return
    if index.frame_count:
        index.ranges(0)
