"""Retrieval: whole objects, headers, and frames equal to what pydicom decodes; damage is told, never sent."""

from __future__ import annotations

import json
import uuid
from io import BytesIO
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from imaging.dicom.header import read_header
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import DataLoss, InvalidArgument, NotFound
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.retrieve.frame_plan import centre_out, decimated
from tests.storage.storage_under_test import Storage, chunks, ct, encoded, file_bytes

Format = pb.RetrieveMetadataRequest
Order = pb.RetrieveFramesRequest
PLAIN = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]


def frames_of(messages: list[pb.RetrieveFramesResponse]) -> list[tuple[pb.RetrieveFramesResponse.Header, bytes]]:
    frames: list[tuple[pb.RetrieveFramesResponse.Header, bytes]] = []
    content = b""
    for message in messages:
        if message.HasField("header"):
            header, content = message.header, b""
        assert google_crc32c.value(message.data.content) == message.data.crc32c
        assert message.data.offset == len(content)
        content += message.data.content
        if message.HasField("finish"):
            assert len(content) == header.size_bytes
            frames.append((header, content))
    return frames


def pixels(header: pb.RetrieveFramesResponse.Header, content: bytes) -> Any:
    kind = "iu"[1 - header.pixel_representation]
    shape = (header.rows, header.columns, *([header.samples_per_pixel] if header.samples_per_pixel > 1 else []))
    array = np.frombuffer(content, f"<{kind}{header.bits_allocated // 8}")[: int(np.prod(shape))]
    if header.planar_configuration == 1:
        return np.moveaxis(array.reshape(header.samples_per_pixel, header.rows, header.columns), 0, -1)
    return array.reshape(shape)


def multiframe(count: int = 7, rows: int = 16, columns: int = 16) -> tuple[bytes, Any]:
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.NumberOfFrames, data_set.Rows, data_set.Columns = count, rows, columns
    array = np.random.default_rng(1).integers(0, 1000, (count, rows, columns), dtype=np.int16)
    data_set.PixelData = array.tobytes()
    return encoded(data_set), array


def one_bit(count: int) -> bytes:
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.NumberOfFrames, data_set.Rows, data_set.Columns = count, 5, 7
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit, data_set.PixelRepresentation = 1, 1, 0, 0
    bits = np.random.default_rng(2).integers(0, 2, count * 35, dtype=np.uint8)
    packed = np.packbits(bits, bitorder="little").tobytes()
    data_set.PixelData = packed + bytes(len(packed) % 2)
    return encoded(data_set)


async def test_a_study_comes_back_whole_in_the_order_of_instance_numbers(storage: Storage) -> None:
    contents = {number: ct(sop=f"1.2.3.1.{10 - number}", InstanceNumber=str(number)) for number in (3, 1, 2)}
    await storage.store(*contents.values())
    messages = await storage.stream("RetrieveInstances", name="studies/1.2.3")
    assert [message.data.content for message in messages] == [contents[1], contents[2], contents[3]]
    series = await storage.stream("RetrieveInstances", name="studies/1.2.3/series/1.2.3.1")
    assert series == messages


async def test_a_large_object_comes_in_chunks_and_from_any_offset(storage: Storage) -> None:
    content, _ = multiframe(1, 1500, 1500)
    (answer,) = await storage.send(chunks("a", content))
    name = answer.stored.instance.name
    messages = await storage.stream("RetrieveInstances", name=name)
    assert len(messages) == 5
    assert b"".join(message.data.content for message in messages) == content
    assert messages[-1].finish.object_crc32c == google_crc32c.value(content)
    rest = await storage.stream("RetrieveInstances", name=name, start_offset=1_234_567)
    assert b"".join(message.data.content for message in rest) == content[1_234_567:]
    assert rest[0].header.size_bytes == len(content) - 1_234_567
    with pytest.raises(InvalidArgument):
        await storage.stream("RetrieveInstances", name=name, start_offset=len(content) + 1)


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "reportsi.dcm"]
)
async def test_headers_hold_every_element_but_the_pixels(storage: Storage, name: str) -> None:
    content = file_bytes(name)
    stored = await storage.store_one(content)
    (message,) = await storage.stream("RetrieveMetadata", name=stored.instance.name)
    header = read_header(message.content, message.transfer_syntax_uid)
    whole = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
    expected = {element.tag: element.value for element in whole if element.tag < 0x7FE00010}
    assert {element.tag: element.value for element in header} == expected
    assert message.instance == stored.instance


async def test_metadata_as_dicom_json_holds_no_bulk_data(storage: Storage) -> None:
    stored = await storage.store_one(ct(PatientName="Müller^Anna", SpecificCharacterSet="ISO_IR 192"))
    (message,) = await storage.stream("RetrieveMetadata", name=stored.instance.name, format=Format.FORMAT_DICOM_JSON)
    model = json.loads(message.content)
    assert model["00100010"]["Value"][0]["Alphabetic"] == "Müller^Anna"
    assert "7FE00010" not in model
    assert len(message.content) < 30_000


async def test_metadata_of_chosen_instances_and_of_missing_ones(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{n}", InstanceNumber=str(n)) for n in range(1, 6)))
    series = "studies/1.2.3/series/1.2.3.1"
    messages = await storage.stream("RetrieveMetadata", name=series, sop_instance_uids=["1.2.3.1.4", "1.2.3.1.2"])
    assert [message.instance.instance_number for message in messages] == [2, 4]
    with pytest.raises(NotFound):
        await storage.stream("RetrieveMetadata", name=series, sop_instance_uids=["1.2.3.1.9"])
    with pytest.raises(NotFound):
        await storage.stream("RetrieveMetadata", name="studies/1.2.9")


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "image_dfl.dcm",
        "SC_rgb_rle_2frame.dcm",
        "examples_ybr_color.dcm",
        "examples_palette.dcm",
        "rtdose.dcm",
        "SC_rgb_small_odd.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
    ],
)
async def test_decoded_frames_equal_pydicom_s(storage: Storage, name: str) -> None:
    content = file_bytes(name)
    stored = await storage.store_one(content)
    selections = [Order.Selection(instance=stored.instance.name)]
    found = frames_of(await storage.stream("RetrieveFrames", selections=selections, accept_transfer_syntax_uids=PLAIN))
    whole = pydicom.dcmread(BytesIO(content))
    expected = whole.pixel_array
    if stored.instance.number_of_frames == 1:
        expected = expected[np.newaxis]
    assert [header.frame_number for header, _ in found] == list(range(1, len(expected) + 1))
    for (header, frame), array in zip(found, expected, strict=True):
        assert header.transfer_syntax_uid in PLAIN
        np.testing.assert_array_equal(pixels(header, frame), array)


async def test_frames_come_as_stored_when_any_encoding_is_accepted(storage: Storage) -> None:
    content = file_bytes("MR_small_RLE.dcm")
    stored = await storage.store_one(content)
    ((header, frame),) = frames_of(
        await storage.stream("RetrieveFrames", selections=[Order.Selection(instance=stored.instance.name)])
    )
    whole = pydicom.dcmread(BytesIO(content))
    assert header.transfer_syntax_uid == whole.file_meta.TransferSyntaxUID
    assert frame == next(pydicom.encaps.generate_frames(whole.PixelData, number_of_frames=1))


async def test_frames_of_a_deflated_object_are_found(storage: Storage) -> None:
    content, array = multiframe()
    data_set = pydicom.dcmread(BytesIO(content))
    data_set.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stored = await storage.store_one(encoded(data_set))
    found = frames_of(
        await storage.stream(
            "RetrieveFrames", selections=[Order.Selection(instance=stored.instance.name, frame_numbers=[7, 2])]
        )
    )
    assert [header.frame_number for header, _ in found] == [7, 2]
    for header, frame in found:
        np.testing.assert_array_equal(pixels(header, frame), array[header.frame_number - 1])


async def test_one_bit_frames_that_do_not_begin_on_a_byte_tell_their_bit_offset(storage: Storage) -> None:
    content = one_bit(3)
    stored = await storage.store_one(content)
    found = frames_of(
        await storage.stream("RetrieveFrames", selections=[Order.Selection(instance=stored.instance.name)])
    )
    expected = pydicom.dcmread(BytesIO(content)).pixel_array
    for header, frame in found:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[header.bit_offset :]
        array = bits[: header.rows * header.columns].reshape(header.rows, header.columns)
        np.testing.assert_array_equal(array, expected[header.frame_number - 1])


async def test_a_large_multi_frame_object_is_read_by_ranges_in_any_order(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_svc.retrieve.frame_source.VERIFIED_BYTES", 1000)
    monkeypatch.setattr("storage_svc.retrieve.frame_source.GROUP_BYTES", 3 * 512)
    content, array = multiframe(11)
    stored = await storage.store_one(content)
    for numbers in ([], [3, 4, 5, 6, 1, 11], [5, 5, 5]):
        selections = [Order.Selection(instance=stored.instance.name, frame_numbers=numbers)]
        found = frames_of(await storage.stream("RetrieveFrames", selections=selections))
        assert [header.frame_number for header, _ in found] == (numbers or list(range(1, 12)))
        for header, frame in found:
            np.testing.assert_array_equal(pixels(header, frame), array[header.frame_number - 1])


async def test_a_frame_over_the_message_limit_comes_in_chunks(storage: Storage) -> None:
    content, array = multiframe(2, 1500, 1500)
    *_, answer = await storage.send(chunks(str(uuid.uuid4()), content))
    series = answer.stored.instance.name.rpartition("/instances")[0]
    messages = await storage.stream("RetrieveFrames", series=series)
    assert len(messages) == 10
    for (header, frame), expected in zip(frames_of(messages), array, strict=True):
        np.testing.assert_array_equal(pixels(header, frame), expected)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 9, 10])
def test_orders_hold_every_frame_once(count: int) -> None:
    assert sorted(centre_out(count)) == sorted(decimated(count)) == list(range(count))


async def test_a_series_comes_centre_out_or_decimated(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{n}", InstanceNumber=str(n)) for n in range(1, 10)))
    series = "studies/1.2.3/series/1.2.3.1"

    async def order(order: int) -> list[int]:
        found = frames_of(await storage.stream("RetrieveFrames", series=series, order=order))
        return [int(header.instance.rpartition(".")[2]) for header, _ in found]

    assert await order(Order.ORDER_AS_ASKED) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert await order(Order.ORDER_CENTRE_OUT) == [5, 4, 6, 3, 7, 2, 8, 1, 9]
    assert (await order(Order.ORDER_DECIMATED))[:3] == [1, 5, 9]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, InvalidArgument),
        ({"series": "studies/1.2.3/series/1.2.3.1", "selections": [Order.Selection(instance="x")]}, InvalidArgument),
        ({"series": "studies/1.2.3"}, InvalidArgument),
        ({"series": "studies/1.2.3/series/1.2.9"}, NotFound),
        ({"selections": [Order.Selection(instance="studies/1.2.3/series/1.2.3.1/instances/1.9")]}, NotFound),
        ({"selections": [Order.Selection(instance="studies/1.2.4/series/1.2.3.1/instances/1.2.3.1.1")]}, NotFound),
        (
            {
                "selections": [
                    Order.Selection(instance="studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1", frame_numbers=[2])
                ]
            },
            NotFound,
        ),
        (
            {
                "series": "studies/1.2.3/series/1.2.3.1",
                "accept_transfer_syntax_uids": ["1.2.840.10008.1.2.4.70"],
            },
            InvalidArgument,
        ),
    ],
)
async def test_frames_that_cannot_be_had_are_refused(storage: Storage, fields: Any, error: type[Exception]) -> None:
    await storage.store(ct())
    with pytest.raises(error):
        await storage.stream("RetrieveFrames", **fields)


async def test_an_instance_without_pixels_has_no_frames(storage: Storage) -> None:
    stored = await storage.store_one(file_bytes("reportsi.dcm"))
    assert (stored.instance.number_of_frames, stored.instance.rows) == (0, 0)
    with pytest.raises(InvalidArgument):
        await storage.stream("RetrieveFrames", selections=[Order.Selection(instance=stored.instance.name)])


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
async def test_damaged_objects_are_data_loss_and_their_bytes_are_never_sent(storage: Storage, damage: str) -> None:
    content = ct()
    stored = await storage.store_one(content)
    (path,) = (storage.folder / "storage" / "objects" / "studies").rglob("*.dcm")
    _damage(path, damage)
    name = stored.instance.name
    with pytest.raises(DataLoss):
        await storage.stream("RetrieveInstances", name=name)
    with pytest.raises(DataLoss):
        await storage.stream("RetrieveFrames", selections=[Order.Selection(instance=name)])
    if damage == "gone":
        with pytest.raises(DataLoss):
            await storage.stream("RetrieveMetadata", name=name)


def _damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "gone":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[:-10])
    else:
        content[-100] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "reportsi.dcm"])
async def test_a_header_over_the_message_limit_leaves_out_its_largest_elements_and_says_so(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content = file_bytes(name)
    stored = await storage.store_one(content)
    (message,) = await storage.stream("RetrieveMetadata", name=stored.instance.name)
    limit = len(message.content) * 9 // 10
    monkeypatch.setattr("storage_svc.metadata.retrieve.MESSAGE_BYTES", limit)
    (short,) = await storage.stream("RetrieveMetadata", name=stored.instance.name)
    assert len(short.content) <= limit
    left_out = [warning.split()[1] for warning in short.instance.warnings if warning.startswith("HEADER_SHORTENED")]
    whole = read_header(message.content, message.transfer_syntax_uid)
    found = read_header(short.content, short.transfer_syntax_uid)
    assert {element.tag: element.value for element in found} == {
        element.tag: element.value for element in whole if str(element.tag) not in left_out
    }
    assert left_out
