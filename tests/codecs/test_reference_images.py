"""A table of reference images with the digests of their pixels: every image of the wheels pydicom and pydicom-data.

The columns `equal`, `others` and `refusing` tell what pydicom's handlers made of each when the table was written:
numpy, pillow 13.0, pylibjpeg 2.1 (libjpeg 2.5, openjpeg 2.6, rle 2.2) and gdcm 3.2.6. Every image but the two of 12-bit
JPEG has a handler that gives the same pixels. Of those, pillow and gdcm decode none, and pylibjpeg one, whose values
differ by 1 at most, as rounding in the inverse DCT may (ISO/IEC 10918-1 A.3.3); so do those of its lossy colour JPEG.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

from imaging.codecs.registry import CODECS
from tests.codecs.test_decode_wheel_files import _image_files, decode_all
from tests.codecs.wheel_images import WHEEL

Row = dict[str, str]
_TABLE = Path(__file__).with_name("reference_images.tsv").read_text(encoding="utf-8")
ROWS: list[Row] = list(csv.DictReader(_TABLE.splitlines(), delimiter="\t"))
REFUSED = {"JPEG2000-embedded-sequence-delimiter.dcm"}
"""Its codestream names another image than its attributes do; no handler decodes it either."""

TWELVE_BIT_JPEG = {"JPEG-lossy.dcm", "JPGExtended.dcm"}


def _path(row: Row) -> Path:
    if row["wheel"] == "pydicom":
        return WHEEL / row["file"]
    found = importlib.util.find_spec("data_store")
    if found is None or found.origin is None:
        pytest.skip("the wheel pydicom-data is not installed")
    return Path(found.origin).parent / "data" / row["file"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_each_reference_image_decodes_to_its_digest(row: Row) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(_path(row))
    assert row["transfer_syntax_uid"] == header.file_meta.TransferSyntaxUID
    decoded = decode_all(header)
    assert "x".join(map(str, decoded.shape)) == row["shape"]
    assert decoded.dtype.str.lstrip("<|") == row["type"]
    little_endian = np.ascontiguousarray(decoded, dtype=decoded.dtype.newbyteorder("<"))
    assert hashlib.sha256(little_endian.tobytes()).hexdigest() == row["sha256"]


def test_every_image_of_the_wheel_stands_in_the_table() -> None:
    assert {row["file"] for row in ROWS if row["wheel"] == "pydicom"} == set(_image_files()) - REFUSED


def test_every_image_but_those_of_12_bit_jpeg_has_a_handler_with_the_same_pixels() -> None:
    assert {row["file"] for row in ROWS if row["equal"] == "-"} == TWELVE_BIT_JPEG
    assert len(ROWS) >= 156
    assert {row["transfer_syntax_uid"] for row in ROWS} <= set(CODECS)
