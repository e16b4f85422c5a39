"""Frames at a resolution level: the first bytes first, later the rest, which together are the frame."""

from __future__ import annotations

from io import BytesIO

import google_crc32c
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from imaging.codecs.decode import decode_frame
from imaging.codecs.encode import encode_frame
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_BASELINE_8BIT,
)
from imaging.errors import InvalidArgument, UnsupportedTransferSyntax
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.codecs.test_resolution_levels import smooth
from tests.storage.storage_under_test import Storage, chunks, ct, encoded, file_bytes
from tests.storage.test_retrieve import frames_of, multiframe, one_bit

Header = pb.RetrieveFramesResponse.Header


def progressive(side: int, count: int = 1) -> tuple[bytes, list[bytes]]:
    """A file in HTJ2K Lossless RPCL, and its frames."""
    image, pixels = smooth(side, side, signed=1)
    frames = [encode_frame(image - number, HTJ2K_LOSSLESS_RPCL, pixels) for number in range(count)]
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.Rows = data_set.Columns = side
    data_set.NumberOfFrames = count
    data_set.PixelData = encapsulate(frames)
    data_set["PixelData"].VR = "OB"
    data_set.file_meta.TransferSyntaxUID = UID(HTJ2K_LOSSLESS_RPCL)
    return encoded(data_set), frames


async def cut(storage: Storage, instance: str, level: int, after: int = 0, *accept: str) -> list[tuple[Header, bytes]]:
    messages = await storage.stream(
        "RetrieveFrames",
        selections=[pb.RetrieveFramesRequest.Selection(instance=instance)],
        resolution_level=level,
        after_resolution_level=after,
        accept_transfer_syntax_uids=accept,
    )
    for message in messages:
        if message.HasField("header"):
            first = message.header.first_byte
        message.data.offset -= first
    return frames_of(messages)


@pytest.mark.parametrize("side", [512, 2048])
async def test_the_parts_of_a_frame_are_a_small_picture_and_then_the_frame(storage: Storage, side: int) -> None:
    content, frames = progressive(side, 2)
    (answer,) = await storage.send(chunks("0", content))
    instance = answer.stored.instance.name
    small = await cut(storage, instance, 2)
    middle = await cut(storage, instance, 1, 2)
    rest = await cut(storage, instance, 0, 1)
    assert [header.frame_number for header, _ in small] == [1, 2]
    for frame, (first, a), (second, b), (third, c) in zip(frames, small, middle, rest, strict=True):
        assert len(a) <= 0.08 * len(frame)
        assert (a + b + c).rstrip(b"\0") == frame.rstrip(b"\0")
        assert [first.resolution_level, second.resolution_level, third.resolution_level] == [2, 1, 0]
        assert [first.first_byte, second.first_byte, third.first_byte] == [0, len(a), len(a + b)]
        assert {first.frame_crc32c, second.frame_crc32c, third.frame_crc32c} == {google_crc32c.value(a + b + c)}
        assert first.frame_size_bytes == len(a + b + c)
        assert (first.rows, first.columns) == (side, side)


async def test_the_smallest_level_is_given_where_a_smaller_one_is_asked_for(storage: Storage) -> None:
    content, _ = progressive(64)
    (answer,) = await storage.send(chunks("0", content))
    ((header, first),) = await cut(storage, answer.stored.instance.name, 30)
    assert header.resolution_level == 5
    ((_, rest),) = await cut(storage, answer.stored.instance.name, 0, 30)
    assert header.frame_crc32c == google_crc32c.value(first + rest)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "SC_rgb_rle_2frame.dcm", "JPEG2000.dcm"])
async def test_frames_in_another_syntax_are_encoded_so_for_who_takes_that(storage: Storage, name: str) -> None:
    stored = await storage.store_one(file_bytes(name))
    instance = stored.instance.name
    whole = frames_of(
        await storage.stream(
            "RetrieveFrames",
            selections=[pb.RetrieveFramesRequest.Selection(instance=instance)],
            accept_transfer_syntax_uids=[HTJ2K_LOSSLESS_RPCL],
        )
    )
    accept = (EXPLICIT_VR_LITTLE_ENDIAN, stored.instance.transfer_syntax_uid, HTJ2K_LOSSLESS_RPCL)
    small = await cut(storage, instance, 2, 0, *accept)
    rest = await cut(storage, instance, 0, 2, *accept)
    for (_, frame), (header, a), (_, b) in zip(whole, small, rest, strict=True):
        assert header.transfer_syntax_uid == HTJ2K_LOSSLESS_RPCL
        assert header.resolution_level == 2
        assert len(a) < len(frame)
        assert a + b == frame


async def test_frames_that_have_no_levels_come_whole_and_have_no_rest(storage: Storage) -> None:
    single_bits = await storage.store_one(one_bit(3))
    data_set = pydicom.dcmread(BytesIO(multiframe()[0]))
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3.1.2"
    stored = await storage.store_one(encoded(data_set))
    for instance, accept in (
        (stored.instance.name, ()),
        (stored.instance.name, (EXPLICIT_VR_LITTLE_ENDIAN,)),
        (single_bits.instance.name, (HTJ2K_LOSSLESS_RPCL, EXPLICIT_VR_LITTLE_ENDIAN)),
    ):
        whole = await cut(storage, instance, 2, 0, *accept)
        assert {header.resolution_level for header, _ in whole} == {0}
        assert all(len(frame) == header.frame_size_bytes for header, frame in whole)
        assert [frame for _, frame in await cut(storage, instance, 0, 2, *accept)] == [b""] * len(whole)
    with pytest.raises(UnsupportedTransferSyntax):
        await cut(storage, stored.instance.name, 2, 0, JPEG_BASELINE_8BIT)


async def test_levels_that_cannot_be_are_refused(storage: Storage) -> None:
    stored = await storage.store_one(ct())
    for level, after in ((-1, 0), (33, 0), (0, 33), (2, 2), (3, 2)):
        with pytest.raises(InvalidArgument, match="level"):
            await cut(storage, stored.instance.name, level, after)


async def test_a_level_decodes_to_the_halved_image(storage: Storage) -> None:
    content, _ = progressive(512)
    (answer,) = await storage.send(chunks("0", content))
    ((header, first),) = await cut(storage, answer.stored.instance.name, 2)
    image, pixels = smooth(512, 512, signed=1)
    small = decode_frame(first, header.transfer_syntax_uid, pixels, resolution_level=header.resolution_level)
    assert small.shape == (128, 128)
    assert np.abs(small - image.reshape(128, 4, 128, 4).mean((1, 3))).mean() < 8
