"""Headers that mislead whoever shows or measures: stored, then rendered or read as a volume over gRPC."""

from __future__ import annotations

import math
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from imaging.client.storage import StorageClient, Upload
from imaging.errors import ImagingError, PixelDataInvalid, VolumeRefused
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2, storage_service_pb2_grpc
from tests.ct_series import CtSeries, ct_series
from tests.dicom.part10 import Values, image, part10, us
from tests.faults.bad_input import SOP_INSTANCE_UID
from tests.faults.bad_pixels import PHOTOMETRIC, numbers
from tests.installation.in_process import services_in_process
from tests.storage.storage_under_test import encoded

WINDOW_CENTRE, WINDOW_WIDTH, INTERCEPT, SLOPE = 0x00281050, 0x00281051, 0x00281052, 0x00281053
VOI_SEQUENCE, MODALITY_SEQUENCE, PIXEL_ASPECT = 0x00283010, 0x00283000, 0x00280034
RAMP = struct.pack("<16H", *range(0, 1600, 100))
"""4 x 4 pixels from 0 to 1500."""


def palette(entries: int, words: int, *, first: int = 0, channels: int = 3) -> Values:
    """PALETTE COLOR whose descriptors tell so many entries and whose data has so many words."""
    values = numbers(ALLOCATED=16, STORED=16, HIGH_BIT=15) | {PHOTOMETRIC: ("CS", b"PALETTE COLOR ")}
    for channel in range(channels):
        values[0x00281101 + channel] = ("US", us(entries) + us(first) + us(16))
        values[0x00281201 + channel] = ("OW", bytes(range(256)) * (words // 128 + 1))
        values[0x00281201 + channel] = ("OW", values[0x00281201 + channel][1][: words * 2])
    return values


def table(entries: int, words: int) -> bytes:
    """The item of a LUT sequence whose descriptor tells so many entries and whose data has so many words."""
    descriptor = struct.pack("<HH2sHHHH", 0x0028, 0x3002, b"US", 6, entries, 0, 16)
    data = struct.pack("<HH2sHI", 0x0028, 0x3006, b"OW", 0, words * 2) + bytes(words * 2)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(descriptor + data)) + descriptor + data


def window(centre: bytes, width: bytes) -> Values:
    """A window, as written."""
    return {WINDOW_CENTRE: ("DS", centre), WINDOW_WIDTH: ("DS", width)}


PICTURES: dict[str, tuple[Values, type[ImagingError] | bool]] = {
    "palette whose descriptor tells more than its data has": (palette(4096, 16), PixelDataInvalid),
    "palette with all indices beyond its end": (palette(16, 16), True),
    "palette that begins after all indices": (palette(16, 16, first=60_000), True),
    "palette without blue": (palette(16, 16, channels=2), PixelDataInvalid),
    "palette without any table": ({PHOTOMETRIC: ("CS", b"PALETTE COLOR ")}, PixelDataInvalid),
    "window of width 0": (window(b"700 ", b"0 "), True),
    "window of negative width": (window(b"700 ", b"-5"), True),
    "window that is no number": (window(b"NaN ", b"inf "), True),
    "window of 1e308": (window(b"1e308 ", b"1e308 "), True),
    "window of words": (window(b"lung", b"wide"), True),
    "centre without width": ({WINDOW_CENTRE: ("DS", b"700 ")}, True),
    "slope that is no number": ({SLOPE: ("DS", b"NaN "), INTERCEPT: ("DS", b"0 ")}, True),
    "slope of infinity": ({SLOPE: ("DS", b"inf "), INTERCEPT: ("DS", b"-inf")}, True),
    "slope 0": ({SLOPE: ("DS", b"0 "), INTERCEPT: ("DS", b"0 ")}, True),
    "slope of 1e308": ({SLOPE: ("DS", b"1e308 "), INTERCEPT: ("DS", b"1e308 ")}, True),
    "VOI LUT without Modality LUT": ({VOI_SEQUENCE: ("SQ", table(16, 16))}, True),
    "VOI LUT shorter than its descriptor": ({VOI_SEQUENCE: ("SQ", table(4096, 16))} | window(b"700 ", b"1400"), True),
    "Modality LUT shorter than its descriptor": ({MODALITY_SEQUENCE: ("SQ", table(4096, 16))}, True),
    "pixel aspect 0 : 0": ({PIXEL_ASPECT: ("IS", b"0\\0 ")}, True),
    "pixel aspect 1 : 1,000,000": ({PIXEL_ASPECT: ("IS", b"1\\1000000 ")}, True),
}  # fmt: skip
"""By name: what the header has, and the error of rendering it or whether there is a picture."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The client that users get, and the generated one."""

    client: StorageClient
    stub: Any

    async def store(self, *contents: bytes) -> list[str]:
        """Their names, in the same order."""
        uploads = [Upload(str(number), content) for number, content in enumerate(contents)]
        names = {}
        async for result in self.client.store(uploads):
            assert result.instance is not None, result.error
            names[result.upload_id] = result.instance.name
        return [names[upload.id] for upload in uploads]

    async def picture(self, name: str) -> np.ndarray:
        """The instance as PNG, read again."""
        selection = storage_service_pb2.RenderFramesRequest.Selection(instance=name)
        request = storage_service_pb2.RenderFramesRequest(selections=[selection])
        with domain_errors():
            (answer,) = [answer async for answer in self.stub.RenderFrames(request, timeout=30)]
        return np.asarray(Image.open(BytesIO(answer.content)))


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    async with (
        services_in_process(tmp_path, "storage") as settings,
        open_channel(settings.storage.address) as channel,
    ):
        client = StorageClient(channel)
        yield Storage(client, storage_service_pb2_grpc.StorageServiceStub(channel))
        await client.close()


async def test_a_misleading_header_gives_a_picture_or_a_typed_error(storage: Storage) -> None:
    contents = [
        part10(image(pixel_data=RAMP) | values).replace(SOP_INSTANCE_UID.encode(), f"1.2.{10_000 + number}".encode())
        for number, (values, _) in enumerate(PICTURES.values())
    ]
    outcomes: dict[str, object] = {}
    for kind, name in zip(PICTURES, await storage.store(*contents), strict=True):
        try:
            picture = await storage.picture(name)
        except ImagingError as error:
            outcomes[kind] = type(error) if error.where and error.hint else error
        else:
            outcomes[kind] = picture.dtype == np.uint8 and math.prod(picture.shape[:2]) >= 16
    assert outcomes == {kind: expected for kind, (_, expected) in PICTURES.items()}


def changed(series: CtSeries, change: Callable[[int, pydicom.Dataset], None]) -> list[bytes]:
    """The slices of a series, each changed."""
    slices = [pydicom.dcmread(BytesIO(content)) for content in series.instances.values()]
    for index, data_set in enumerate(slices):
        change(index, data_set)
    return [encoded(data_set) for data_set in slices if data_set.get("InstanceNumber") != -1]


def missing(index: int, data_set: pydicom.Dataset) -> None:
    data_set.InstanceNumber = -1 if index == 3 else index


def duplicate(index: int, data_set: pydicom.Dataset) -> None:
    if index == 3:
        data_set.ImagePositionPatient = [0, 0, 8]


def tilted(index: int, data_set: pydicom.Dataset) -> None:
    data_set.GantryDetectorTilt = 12
    data_set.ImagePositionPatient = [0, index * 1.0, index * 4.0]


def mixed(index: int, data_set: pydicom.Dataset) -> None:
    if index == 2:
        data_set.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def unplaced(index: int, data_set: pydicom.Dataset) -> None:
    if index == 2:
        data_set.ImagePositionPatient = None


def unscaled(index: int, data_set: pydicom.Dataset) -> None:
    if index == 2:
        data_set.PixelSpacing = None


VOLUMES = {
    missing: "missing",
    duplicate: "same place",
    tilted: "tilt",
    mixed: "orientation",
    unplaced: "ImagePositionPatient",
    unscaled: "PixelSpacing",
}


@pytest.mark.parametrize("change", VOLUMES, ids=lambda change: change.__name__)
async def test_slices_that_make_no_volume_are_refused_with_the_reason(
    storage: Storage, change: Callable[[int, pydicom.Dataset], None]
) -> None:
    series = ct_series(f"bad-{change.__name__}", slices=8, size=16)
    await storage.store(*changed(series, change))
    with pytest.raises(VolumeRefused) as refused:
        await storage.client.read_volume(series.series)
    assert VOLUMES[change].lower() in refused.value.text.lower()
    assert refused.value.hint
