"""Deflated data sets: streamed, capped by ratio and size, whole or refused."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest

from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.header import header_bytes, read_header
from imaging.dicom.limits import ScanLimits
from imaging.dicom.scanner import scan
from imaging.dicom.transfer_syntax import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import InvalidDicom, LimitExceeded, TruncatedDicom
from tests.dicom.part10 import data_set, deflate, file_meta, identity, image, part10
from tests.dicom.wheel_files import wheel_file

META = file_meta(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)


def test_offsets_of_a_deflated_instance_count_in_the_inflated_data_set() -> None:
    values = image()
    data = part10(values, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    instance = scan(data)
    inflated = data_set(values)
    assert instance.inflated
    assert instance.data_set_offset == len(META)
    assert instance.pixel_data is not None
    assert instance.frames is not None
    assert instance.frames.inflated
    ((offset, length),) = instance.frames.ranges(0)
    assert inflated[offset : offset + length] == values[0x7FE00010][1]
    assert header_bytes(data, instance) == inflated[: instance.header_end]
    assert inflate_data_set(data, instance.data_set_offset) == inflated
    header = read_header(header_bytes(data, instance), instance.transfer_syntax_uid)
    assert header.Rows == 4


def test_bomb_is_refused_at_the_ratio_with_bounded_memory() -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    zeros = bytes(1 << 20)
    stream = b"".join(deflater.compress(zeros) for _ in range(80)) + deflater.flush()
    assert 80 * len(zeros) / len(stream) > 900
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match="200 : 1"):
        scan(META + stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_bomb_under_the_ratio_is_refused_at_the_size() -> None:
    limits = ScanLimits(max_inflated_bytes=100_000)
    with pytest.raises(LimitExceeded, match="100000 bytes"):
        scan(META + deflate(bytes(200_000)), limits=limits)


def test_small_empty_image_may_deflate_better_than_the_ratio() -> None:
    data = part10(image(512, 512, pixel_data=bytes(512 * 512 * 2)), DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    assert len(data) < 512 * 512 * 2 / 200
    assert scan(data).pixel_data is not None


def test_bytes_after_the_stream_are_refused() -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    stream = deflater.compress(data_set(identity())) + deflater.flush()
    for tail in (b"\1", b"\0\0", b"trailing garbage", bytes(8)):
        with pytest.raises(InvalidDicom, match="follow the end"):
            inflate_data_set(META + stream + tail, len(META))


def test_one_padding_nul_after_the_stream_passes() -> None:
    body = data_set(identity())
    deflater = zlib.compressobj(9, wbits=-15)
    stream = deflater.compress(body) + deflater.flush()
    for tail in (b"", b"\0"):
        assert inflate_data_set(META + stream + tail, len(META)) == body


def test_trailer_of_a_gzip_writer_passes_only_if_it_is_right() -> None:
    body = data_set(identity())
    deflater = zlib.compressobj(9, wbits=-15)
    stream = deflater.compress(body) + deflater.flush()
    trailer = struct.pack("<II", zlib.crc32(body), len(body))
    assert inflate_data_set(META + stream + trailer, len(META)) == body
    assert inflate_data_set(META + stream + trailer + b"\0", len(META)) == body
    with pytest.raises(InvalidDicom):
        inflate_data_set(META + stream + trailer[::-1], len(META))
    assert scan(wheel_file("image_dfl.dcm")).inflated


def test_truncated_stream_is_refused_at_every_byte() -> None:
    stream = deflate(data_set(image()))
    end = len(stream.rstrip(b"\0"))
    for size in range(1, end - 1):
        with pytest.raises(TruncatedDicom):
            inflate_data_set(META + stream[:size], len(META))


def test_stream_that_is_not_deflated_is_refused() -> None:
    with pytest.raises(InvalidDicom, match="not a deflated stream"):
        scan(META + data_set(image()))


def test_incompressible_data_larger_than_all_pieces_is_inflated_whole() -> None:
    noise = b"".join(struct.pack("<Q", index * 0x9E3779B97F4A7C15 & (1 << 64) - 1) for index in range(60_000))
    body = noise + bytes(3_000_000)
    assert inflate_data_set(META + deflate(body), len(META)) == body
    assert inflate_data_set(META + deflate(body), len(META), max_bytes=1_000) == body[:1_000]


def test_errors_inside_say_that_the_byte_counts_in_the_inflated_data_set() -> None:
    with pytest.raises(TruncatedDicom) as caught:
        scan(META + deflate(data_set(image())[:-1]))
    assert caught.value.where.endswith("of the inflated data set")
