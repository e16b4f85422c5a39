"""Objects and frames in another transfer syntax than they are kept in: the same stored values, attributes that fit."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import google_crc32c
import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from imaging.codecs.decode import decode_frame
from imaging.dicom import transfer_syntax as ts
from imaging.errors import InvalidArgument, PixelDataInvalid, UnsupportedTransferSyntax
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.codecs.wheel_images import describe, frames
from tests.storage.storage_under_test import Storage, chunks, ct, encoded, file_bytes
from tests.storage.test_retrieve import frames_of, multiframe, one_bit

EXPLICIT, IMPLICIT = ts.EXPLICIT_VR_LITTLE_ENDIAN, ts.IMPLICIT_VR_LITTLE_ENDIAN
LOSSLESS = (ts.RLE_LOSSLESS, ts.JPEG_LS_LOSSLESS, ts.JPEG_2000_LOSSLESS, ts.HTJ2K_LOSSLESS, ts.HTJ2K_LOSSLESS_RPCL)
SOURCES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "examples_palette.dcm",
    "image_dfl.dcm",
)
PYDICOM_CANNOT_READ = ("JPEG-lossy.dcm", "SC_rgb_rle_16bit_2frame.dcm")
"""12-bit JPEG, and JPEG 2000 of colours of 16 bits."""

CHANGED = ("PixelData", "PhotometricInterpretation", "PlanarConfiguration")


def decoded(content: bytes) -> np.ndarray[Any, Any]:
    """All frames by our own decoders (pydicom has none for HTJ2K); shape (frames, rows, columns) or with colours."""
    data_set = pydicom.dcmread(BytesIO(content))
    swapped = data_set.file_meta.TransferSyntaxUID == ts.EXPLICIT_VR_BIG_ENDIAN and data_set.BitsAllocated == 8
    return np.stack(
        [
            decode_frame(
                frame, data_set.file_meta.TransferSyntaxUID, describe(data_set), bit_offset=bit, swapped_words=swapped
            )
            for frame, bit in frames(data_set)
        ]
    )


def of_its_own(name: str) -> bytes:
    """The test file under a UID of its own: some are the same image in several encodings."""
    data_set = pydicom.dcmread(BytesIO(file_bytes(name)))
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = f"1.2.42.{SOURCES.index(name) + 1}"
    return encoded(data_set)


async def transcoded(storage: Storage, content: bytes, *accept: str, **fields: Any) -> tuple[str, bytes]:
    """The told transfer syntax and the bytes of a stored object."""
    (answer,) = await storage.send(chunks("0", content))
    messages = await storage.stream(
        "RetrieveInstances", name=answer.stored.instance.name, accept_transfer_syntax_uids=accept, **fields
    )
    found = b"".join(message.data.content for message in messages)
    assert messages[0].header.size_bytes == len(found)
    assert all(google_crc32c.value(message.data.content) == message.data.crc32c for message in messages)
    if not fields:
        assert messages[-1].finish.object_crc32c == google_crc32c.value(found)
    return messages[0].header.transfer_syntax_uid, found


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, *LOSSLESS])
async def test_every_kind_of_image_comes_with_the_same_values_and_attributes(storage: Storage, target: str) -> None:
    for name in SOURCES:
        content = of_its_own(name)
        told, found = await transcoded(storage, content, target)
        before, after = pydicom.dcmread(BytesIO(content)), pydicom.dcmread(BytesIO(found))
        assert told == after.file_meta.TransferSyntaxUID == target, name
        assert np.array_equal(decoded(found), decoded(content)), name
        if target not in (ts.HTJ2K_LOSSLESS, ts.HTJ2K_LOSSLESS_RPCL) and name not in PYDICOM_CANNOT_READ:
            assert np.array_equal(pixel_array(after), pixel_array(before)), f"{name}: pydicom sees other pixels"
        for element in before:
            private_without_vr = element.tag.is_private and IMPLICIT in (target, before.file_meta.TransferSyntaxUID)
            if element.keyword in CHANGED or element.VR == "OW" or private_without_vr:
                continue
            assert after[element.tag].value == element.value, f"{name}: {element.tag}"
        assert {element.tag for element in after} <= {element.tag for element in before}, name
        colour = before.SamplesPerPixel == 3
        assert (
            after.get("PlanarConfiguration") == 0 or not colour or not before.file_meta.TransferSyntaxUID.is_compressed
        )
        if colour and target in LOSSLESS:
            reversible = target in LOSSLESS[2:]
            assert after.PhotometricInterpretation == ("YBR_RCT" if reversible else "RGB"), name
        assert found[:128] == content[:128]


async def test_elements_that_nothing_has_to_be_done_to_keep_their_bytes(storage: Storage) -> None:
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.add_new(0x00091001, "UN", b"\x00\x01private\xff")
    data_set.add_new(0x00090010, "LO", "OURS")
    data_set.PatientComments = "x"
    content = encoded(data_set).replace(b"LT\x02\x00x ", b"LT\x02\x00\xff\xfe")
    _, found = await transcoded(storage, content, ts.JPEG_LS_LOSSLESS)
    start, end = (content.index(tag) for tag in (b"\x08\x00\x16\x00UI", b"\xe0\x7f\x10\x00OW"))
    assert len(content[start:end]) > 500
    assert content[start:end] in found


async def test_what_is_accepted_as_it_is_kept_stays_and_the_first_that_can_be_written_wins(storage: Storage) -> None:
    content = file_bytes("MR_small_RLE.dcm")
    kept = ts.RLE_LOSSLESS
    assert await transcoded(storage, content, EXPLICIT, kept) == (kept, content)
    assert (await transcoded(storage, content, "1.2.840.10008.1.2.4.70", ts.HTJ2K_LOSSLESS, ts.JPEG_LS_LOSSLESS))[
        0
    ] == ts.HTJ2K_LOSSLESS
    assert (await transcoded(storage, content, IMPLICIT, ts.JPEG_LS_LOSSLESS))[0] == IMPLICIT


async def test_a_multi_frame_object_comes_frame_by_frame_and_in_chunks_from_any_offset(storage: Storage) -> None:
    content, array = multiframe(9, 512, 512)
    told, found = await transcoded(storage, content, ts.RLE_LOSSLESS)
    assert (told, len(found) > 4_000_000) == (ts.RLE_LOSSLESS, True)
    assert np.array_equal(pixel_array(BytesIO(found)), array)
    _, rest = await transcoded(storage, content, ts.RLE_LOSSLESS, start_offset=1_234_567)
    assert rest == found[1_234_567:]
    with pytest.raises(InvalidArgument):
        await transcoded(storage, content, ts.RLE_LOSSLESS, start_offset=len(found) + 1)


async def test_an_object_without_pixels_comes_in_explicit_little_endian(storage: Storage) -> None:
    content = file_bytes("reportsi.dcm")
    implicit = (await transcoded(storage, content, IMPLICIT))[1]
    for accept, expected in ((EXPLICIT, EXPLICIT), (ts.HTJ2K_LOSSLESS, EXPLICIT), (IMPLICIT, IMPLICIT)):
        told, found = await transcoded(storage, content, accept)
        assert told == expected
        assert pydicom.dcmread(BytesIO(found)) == pydicom.dcmread(BytesIO(content))
    assert len(implicit) < len(content)


async def test_a_series_of_several_syntaxes_comes_in_one(storage: Storage) -> None:
    contents = []
    for number, name in enumerate(("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm"), 1):
        data_set = pydicom.dcmread(BytesIO(file_bytes(name)))
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "1.2.40", "1.2.40.1"
        data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = f"1.2.40.1.{number}"
        data_set.InstanceNumber = number
        contents.append(encoded(data_set))
    await storage.store(*contents)
    messages = await storage.stream(
        "RetrieveInstances", name="studies/1.2.40", accept_transfer_syntax_uids=[ts.JPEG_2000_LOSSLESS]
    )
    assert [message.header.transfer_syntax_uid for message in messages] == [ts.JPEG_2000_LOSSLESS] * 3
    for message, content in zip(messages, contents, strict=True):
        assert np.array_equal(decoded(message.data.content), decoded(content))


@pytest.mark.parametrize("target", LOSSLESS)
async def test_frames_come_in_the_transfer_syntax_asked_for(storage: Storage, target: str) -> None:
    for name in ("CT_small.dcm", "SC_rgb_rle_2frame.dcm", "JPEG-lossy.dcm"):
        content = file_bytes(name)
        stored = await storage.store_one(content)
        selection = pb.RetrieveFramesRequest.Selection(instance=stored.instance.name)
        found = frames_of(
            await storage.stream("RetrieveFrames", selections=[selection], accept_transfer_syntax_uids=[target])
        )
        for (header, frame), expected in zip(found, decoded(content), strict=True):
            assert header.transfer_syntax_uid == target
            described = describe(pydicom.dcmread(BytesIO(content)))
            assert np.array_equal(decode_frame(frame, target, described), expected)


@pytest.mark.parametrize("target", LOSSLESS)
async def test_what_does_not_fit_is_refused_with_the_reason(storage: Storage, target: str) -> None:
    with pytest.raises(UnsupportedTransferSyntax) as refused:
        await transcoded(storage, one_bit(3), target)
    assert "one bit" in refused.value.what
    stored = await storage.store_one(one_bit(3))
    selection = pb.RetrieveFramesRequest.Selection(instance=stored.instance.name)
    with pytest.raises(UnsupportedTransferSyntax):
        await storage.stream("RetrieveFrames", selections=[selection], accept_transfer_syntax_uids=[target])


async def test_what_cannot_be_decoded_or_written_is_refused(storage: Storage) -> None:
    with pytest.raises(UnsupportedTransferSyntax):
        await transcoded(storage, file_bytes("MR_small_RLE.dcm"), "1.2.840.10008.1.2.4.70")
    data_set = pydicom.dcmread(BytesIO(file_bytes("JPEG2000.dcm")))
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.41.1"
    data_set.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(100)])
    with pytest.raises(PixelDataInvalid):
        await transcoded(storage, encoded(data_set), EXPLICIT)


@pytest.mark.parametrize("target", LOSSLESS)
async def test_values_that_end_at_the_highest_bit_keep_all_their_bits(storage: Storage, target: str) -> None:
    data_set = pydicom.dcmread(BytesIO(file_bytes("CT_small.dcm")))
    values = np.arange(data_set.Rows * data_set.Columns, dtype=np.uint16).reshape(data_set.Rows, -1) % 4096
    data_set.BitsStored, data_set.HighBit, data_set.PixelRepresentation = 12, 15, 0
    data_set.PixelData = (values << 4).tobytes()
    _, found = await transcoded(storage, encoded(data_set), target)
    after = pydicom.dcmread(BytesIO(found))
    assert (after.BitsStored, after.HighBit) == (12, 11)
    assert np.array_equal(decoded(found)[0], values)
