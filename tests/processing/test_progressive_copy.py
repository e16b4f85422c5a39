"""Copies in HTJ2K Lossless RPCL: the same values and attributes, verified, and a prefix is a picture."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest

from imaging import errors
from imaging.codecs import reencode
from imaging.codecs.decode import decode_frame
from imaging.codecs.resolution_levels import resolution_prefixes
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL
from imaging.storage.v1 import storage_pb2
from processing_svc import progressive_copy
from tests.codecs.wheel_images import describe, frames
from tests.ct_series import CtSeries, ct_series
from tests.processing.conftest import Both
from tests.processing.test_processing_service import _objects, _request, _result
from tests.storage.storage_under_test import file_bytes
from tests.storage.test_retrieve import encoded, multiframe

STEP = "progressive-htj2k"
CHANGED = {
    "InstanceCreationDate",
    "InstanceCreationTime",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "PixelData",
}


def _sent(content: bytes) -> CtSeries:
    data_set = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
    uids = str(data_set.StudyInstanceUID), str(data_set.SeriesInstanceUID)
    return CtSeries(*uids, {str(data_set.SOPInstanceUID): content})


def _decoded(content: bytes) -> tuple[pydicom.Dataset, list[Any]]:
    data_set = pydicom.dcmread(BytesIO(content))
    assert data_set.file_meta.TransferSyntaxUID == HTJ2K_LOSSLESS_RPCL
    return data_set, [decode_frame(frame, HTJ2K_LOSSLESS_RPCL, describe(data_set)) for frame, _ in frames(data_set)]


async def test_a_copied_series_has_the_same_pixels_and_its_frames_have_levels(services: Both) -> None:
    sent = ct_series("copied", slices=4, size=128)
    await services.send(sent)
    result = await _result(services, _request(sent.series, STEP))
    assert not result.refusals
    assert len(result.instances) == 4
    source, _ = await services.storage.read_volume(sent.series)
    copied, headers = await services.storage.read_volume(result.series)
    assert np.array_equal(copied.voxels, source.voxels)
    assert (copied.spacing_mm, copied.origin_mm) == (source.spacing_mm, source.origin_mm)
    small = [frame async for frame in services.storage.read_frames(series=result.series, resolution_level=2)]
    assert {(frame.pixels.shape, frame.resolution_level) for frame in small} == {((32, 32), 2)}
    for uid, header in zip(sent.instances, headers, strict=True):
        original = pydicom.dcmread(BytesIO(sent.instances[uid]))
        (reference,) = header.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == uid
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
        assert header["ImagePositionPatient"] == original["ImagePositionPatient"]
        assert all(header[each.tag] == each for each in original if each.keyword not in CHANGED)
        assert header.SeriesNumber == 1001
        assert header.SOPInstanceUID != uid
    instances = [item async for item in services.storage.search_instances(result.series)]
    assert {item.origin.kind for item in instances} == {storage_pb2.Origin.KIND_DERIVED}
    assert {item.transfer_syntax_uid for item in instances} == {HTJ2K_LOSSLESS_RPCL}
    again = await _result(services, _request(sent.series, STEP, request_id="r2", attempt=2))
    assert list(again.instances) == list(result.instances)
    refused = await _result(services, _request(result.series, STEP, request_id="r3"))
    assert [refusal.rule for refusal in refused.refusals] == ["ALREADY_PROGRESSIVE"]


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "SC_rgb_rle_2frame.dcm",
        "SC_rgb_small_odd.dcm",
        "examples_palette.dcm",
        "image_dfl.dcm",
        "MR_small_jp2klossless.dcm",
    ],
)
async def test_images_of_any_lossless_syntax_are_copied_exactly(services: Both, name: str) -> None:
    sent = _sent(file_bytes(name))
    await services.send(sent)
    series = sent.series
    expected = [frame.pixels async for frame in services.storage.read_frames(series=series)]
    result = await _result(services, _request(series, STEP, request_id=name))
    ((_, content),) = (await _objects(services, result.series)).items()
    data_set, found = _decoded(content)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert data_set.file_meta.MediaStorageSOPInstanceUID == data_set.SOPInstanceUID
    for frame, _ in frames(data_set):
        assert len(resolution_prefixes(frame, HTJ2K_LOSSLESS_RPCL)) > 2


async def test_a_multi_frame_image_is_copied_whole(services: Both) -> None:
    content, array = multiframe(9)
    sent = _sent(content)
    await services.send(sent)
    result = await _result(services, _request(sent.series, STEP, request_id="many"))
    ((_, copied),) = (await _objects(services, result.series)).items()
    assert np.array_equal(np.stack(_decoded(copied)[1]), array)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", "LOSSY_SOURCE"),
        ("SC_ybr_full_422_uncompressed.dcm", "COLOUR_CONVERSION"),
        ("liver_1frame.dcm", "BITS_ALLOCATED"),
        ("rtdose.dcm", "BITS_ALLOCATED"),
    ],
)
async def test_what_would_not_gain_or_fit_is_refused_with_the_reason(services: Both, name: str, rule: str) -> None:
    sent = _sent(file_bytes(name))
    await services.send(sent)
    result = await _result(services, _request(sent.series, STEP, request_id=name))
    assert [refusal.rule for refusal in result.refusals] == [rule]
    assert not result.series


def _with_overlay_in_bit_12(dataset: pydicom.Dataset) -> None:
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    values = np.frombuffer(dataset.PixelData, "<u2") & 0xFFF
    dataset.PixelData = (values | (values % 2) << 12).tobytes()
    dataset.add_new(0x60000010, "US", dataset.Rows)
    dataset.add_new(0x60000011, "US", dataset.Columns)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)


def _with_values_in_the_upper_bits(dataset: pydicom.Dataset) -> None:
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 15, 0
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") << 4).tobytes()


def _with_a_header_over_4_mib(dataset: pydicom.Dataset) -> None:
    frame = pydicom.Dataset()
    frame.add_new(0x00090010, "LO", "OURS")
    frame.add_new(0x00091001, "OB", bytes(5 << 20))
    dataset.PerFrameFunctionalGroupsSequence = [frame]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (_with_overlay_in_bit_12, "OVERLAY_IN_PIXELS"),
        (_with_values_in_the_upper_bits, "HIGH_BIT"),
        (_with_a_header_over_4_mib, "HEADER_TOO_LARGE"),
    ],
)
async def test_what_the_copy_would_lose_is_refused_with_the_reason(
    services: Both, change: Callable[[pydicom.Dataset], None], rule: str
) -> None:
    (content,) = ct_series(rule, slices=1, size=64).instances.values()
    dataset = pydicom.dcmread(BytesIO(content))
    change(dataset)
    sent = _sent(encoded(dataset))
    await services.send(sent)
    result = await _result(services, _request(sent.series, STEP, request_id=rule))
    assert [refusal.rule for refusal in result.refusals] == [rule]
    assert not result.series


async def test_an_overlay_with_data_of_its_own_is_copied(services: Both) -> None:
    (content,) = ct_series("overlay", slices=1, size=64).instances.values()
    dataset = pydicom.dcmread(BytesIO(content))
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", bytes(range(256)) * 2)
    sent = _sent(encoded(dataset))
    await services.send(sent)
    result = await _result(services, _request(sent.series, STEP, request_id="overlay"))
    ((_, copied),) = (await _objects(services, result.series)).items()
    assert _decoded(copied)[0][0x60003000].value == bytes(range(256)) * 2


def test_a_frame_that_does_not_come_back_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(samples: Any, pixels: PixelDescription, target_uid: str) -> tuple[PixelDescription, bytes]:
        return reencode.reencoded(samples ^ 1, pixels, target_uid)

    monkeypatch.setattr(progressive_copy, "reencoded", wrong)
    pixels = PixelDescription(4, 4, 1, "MONOCHROME2", 16, 16, 15, 0)
    with pytest.raises(errors.Internal, match="did not decode"):
        progressive_copy.encoded_and_verified(np.zeros((4, 4), np.uint16), pixels)
