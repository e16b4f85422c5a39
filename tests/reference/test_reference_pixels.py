"""Every image of the reference series decodes to what pydicom makes of it; a slice is the same in many syntaxes."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

from imaging.dicom.transfer_syntax import transfer_syntax
from tests.codecs.test_decode_wheel_files import decode_all

DATA = Path(os.environ.get("REFERENCE_DATA", "/nonexistent"))
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="REFERENCE_DATA names no folder of reference series"),
    pytest.mark.timeout(600),
]


def _read(path: Path) -> pydicom.Dataset | None:
    try:
        header = pydicom.dcmread(path)
    except (OSError, pydicom.errors.InvalidDicomError):
        return None
    return header if "PixelData" in header else None


def test_every_image_decodes_to_the_pixels_of_pydicom() -> None:
    compared = 0
    for path in sorted(DATA.rglob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = _read(path)
            if header is None:
                continue
            decoded = decode_all(header)
            try:
                expected = header.pixel_array
            except (RuntimeError, ValueError, NotImplementedError):
                continue  # it has no handler here; the ladder below and the table of digests have it
        assert np.array_equal(decoded, expected), path.relative_to(DATA)
        compared += 1
    assert compared > 300


def test_one_slice_is_the_same_in_every_lossless_syntax() -> None:
    headers = [pydicom.dcmread(path) for path in sorted((DATA / "transfer-syntax-ladder" / "same-slice").glob("*.dcm"))]
    lossless = [header for header in headers if transfer_syntax(header.file_meta.TransferSyntaxUID).lossless]
    assert len({header.file_meta.TransferSyntaxUID for header in lossless}) >= 4
    first = decode_all(lossless[0])
    for header in lossless[1:]:
        assert np.array_equal(decode_all(header), first), header.file_meta.TransferSyntaxUID
