"""Headers and frames of test files, read by pydicom: the independent witness in these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.encaps import generate_frames

from imaging.dicom.pixel_description import PixelDescription

WHEEL = Path(pydicom.__file__).parent / "data" / "test_files"


def wheel_file(name: str) -> pydicom.Dataset:
    """A test file out of the pydicom wheel."""
    return pydicom.dcmread(WHEEL / name, force=True)


def describe(header: pydicom.Dataset) -> PixelDescription:
    """The pixel description of a data set that pydicom read."""
    is_float = "FloatPixelData" in header or "DoubleFloatPixelData" in header
    bits_allocated = int(header.BitsAllocated)
    return PixelDescription(
        rows=int(header.Rows),
        columns=int(header.Columns),
        samples_per_pixel=int(header.SamplesPerPixel),
        photometric_interpretation=str(header.PhotometricInterpretation),
        bits_allocated=bits_allocated,
        bits_stored=int(header.get("BitsStored", bits_allocated)),
        high_bit=int(header.get("HighBit", bits_allocated - 1)),
        pixel_representation=int(header.get("PixelRepresentation", 0)),
        planar_configuration=header.get("PlanarConfiguration"),
        number_of_frames=int(header.get("NumberOfFrames", 1) or 1),
        is_float=is_float,
    )


def frames(header: pydicom.Dataset) -> Iterator[tuple[bytes, int]]:
    """The bytes of each frame, and the bit offset at which it begins in them."""
    pixels = describe(header)
    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        for frame in generate_frames(header.PixelData, number_of_frames=pixels.number_of_frames):
            yield frame, 0
        return
    value = next(header[key].value for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if key in header)
    for index in range(pixels.number_of_frames):
        start_bit = index * pixels.native_frame_bits
        end_byte = (start_bit + pixels.native_frame_bits + 7) // 8
        yield value[start_bit // 8 : end_byte], start_bit % 8
