"""The scanner and pydicom agree on every file of the pydicom wheel that both accept; the others are refused by name."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue

from imaging.dicom.attribute_table import INDEXED_ATTRIBUTES
from imaging.dicom.header import header_bytes, read_header
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from imaging.errors import InvalidDicom, NotDicom, PixelDataInvalid, TruncatedDicom
from tests.dicom.wheel_files import wheel_files

NOT_INSTANCES: dict[str, type[InvalidDicom]] = {
    **dict.fromkeys(("ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "no_meta.dcm", "rtstruct.dcm"), NotDicom),
    **dict.fromkeys(("rtplan.dump", "rtstruct.dump", "zipMR.gz", "crayons.icc", "README", "README.txt"), NotDicom),
    **dict.fromkeys(("test_PN.json", "test1.json", "FileInfo.txt"), NotDicom),
    **dict.fromkeys(("MR_truncated.dcm", "rtplan_truncated.dcm", "DICOMDIR-nooffset"), TruncatedDicom),
    **dict.fromkeys(("DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-empty.dcm", "DICOMDIR-implicit"), InvalidDicom),
    **dict.fromkeys(("DICOMDIR-nopatient", "DICOMDIR-reordered", "meta_missing_tsyntax.dcm"), InvalidDicom),
    # No SOP Class UID, or no Study Instance UID.
    **dict.fromkeys(("UN_sequence.dcm", "no_meta_group_length.dcm", "priv_SQ.dcm", "nested_priv_SQ.dcm"), InvalidDicom),
    **dict.fromkeys(("empty_charset_LEI.dcm", "chrSQEncoding.dcm", "chrSQEncoding1.dcm"), InvalidDicom),
    **dict.fromkeys(("JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm"), InvalidDicom),
    **dict.fromkeys(("SC_rgb_jls_lossy_line.dcm", "SC_rgb_jls_lossy_sample.dcm"), InvalidDicom),
    # Implicit VR under an explicit transfer syntax; Number of Frames "1A".
    "SC_rgb_jpeg.dcm": InvalidDicom,
    "badVR.dcm": PixelDataInvalid,
}
WITHOUT_PIXELS = ("chrJapMulti.dcm", "chrJapMultiExplicitIR6.dcm", "chrKoreanMulti.dcm")


def scanned(path: Path) -> tuple[bytes, ScannedInstance]:
    data = path.read_bytes()
    return data, scan(data, require_pixel_data=False)


INSTANCES = tuple(path for path in wheel_files() if path.name not in NOT_INSTANCES)


def name(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


def plain(value: Any, many: bool) -> Any:
    """A pydicom value in the index's form."""
    if value is None or value == "":
        return None
    values = list(value) if isinstance(value, MultiValue | list) else [value]
    plain_values: list[Any] = []
    for each in values:
        if each is None or each == "":
            plain_values.append(None)
        elif isinstance(each, int):
            plain_values.append(int(each))
        elif isinstance(each, float) or type(each).__name__ == "DSdecimal":
            plain_values.append(float(each))
        else:
            plain_values.append(str(each).strip(" \0") or None)
    if not many:
        return plain_values[0] if plain_values else None
    return plain_values if any(each is not None for each in plain_values) else None


@pytest.mark.parametrize("path", wheel_files(), ids=name)
def test_each_file_is_scanned_or_refused_with_the_right_reason(path: Path) -> None:
    data = path.read_bytes()
    refusal = NOT_INSTANCES.get(path.name)
    if path.name in WITHOUT_PIXELS or path.stat().st_size == 740:
        # Images of which only the header was kept.
        refusal = TruncatedDicom
    if refusal is None:
        scan(data)
        return
    with pytest.raises(refusal) as caught:
        scan(data)
    assert type(caught.value) is refusal
    assert "byte " in caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize("path", INSTANCES, ids=name)
def test_attributes_are_those_that_pydicom_reads(path: Path) -> None:
    data, instance = scanned(path)
    reference = pydicom.dcmread(BytesIO(data))
    assert instance.transfer_syntax_uid == reference.file_meta.TransferSyntaxUID
    assert instance.sop_instance_uid == reference.SOPInstanceUID
    assert instance.study_instance_uid == reference.StudyInstanceUID
    for attribute in INDEXED_ATTRIBUTES:
        assert keyword_for_tag(attribute.tag) == attribute.keyword
        assert (attribute.keyword in instance.attributes) == (attribute.tag in reference)
        if attribute.tag in reference:
            expected = plain(reference[attribute.tag].value, attribute.many)
            if isinstance(expected, str) and attribute.vr in ("DA", "TM"):
                # The retired forms 1997.04.24 and 14:04:38 are indexed as the Standard writes them now.
                expected = expected.replace("." if attribute.vr == "DA" else ":", "")
            actual = instance.attributes[attribute.keyword]
            assert actual == expected, attribute.keyword


@pytest.mark.parametrize("path", INSTANCES, ids=name)
def test_header_bytes_are_the_data_set_without_its_pixels(path: Path) -> None:
    data, instance = scanned(path)
    header = header_bytes(data, instance)
    if not instance.inflated:
        assert header == data[instance.data_set_offset : instance.header_end]
    read = read_header(header, instance.transfer_syntax_uid)
    reference = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    after_pixels = [tag for tag in reference if instance.pixel_data and tag.tag > instance.pixel_data.tag]
    for each in after_pixels:
        del reference[each.tag]
    assert read == reference


@pytest.mark.parametrize("path", INSTANCES, ids=name)
def test_pixel_location_is_that_of_pydicom(path: Path) -> None:
    data, instance = scanned(path)
    reference = pydicom.dcmread(BytesIO(data))
    assert (instance.pixel_data is not None) == ("PixelData" in reference)
    if instance.pixel_data is None:
        assert instance.frames is None
        return
    source = data
    if instance.inflated:
        source = header_bytes(data, instance) + element_bytes(data, instance)
    start = instance.pixel_data.value_offset
    assert source[start : start + instance.pixel_data.value_length] == reference.PixelData
    assert instance.pixels is not None
    assert instance.pixels.number_of_frames == int(reference.get("NumberOfFrames") or 1)
    assert instance.frames is not None
    assert instance.frames.frame_count == instance.pixels.number_of_frames
    plain = instance.frames.byte_aligned and not instance.frames.whole_words and not instance.inflated
    if plain and not instance.frames.encapsulated:
        pieces = [data[offset : offset + size] for index in range(instance.frames.frame_count)
                  for offset, size in instance.frames.ranges(index)]  # fmt: skip
        expected = np.frombuffer(reference.PixelData[: instance.pixels.native_bytes], np.uint8)
        assert np.array_equal(np.frombuffer(b"".join(pieces), np.uint8), expected)


def element_bytes(data: bytes, instance: ScannedInstance) -> bytes:
    """The inflated pixel data element and what follows."""
    return zlib.decompress(data[instance.data_set_offset :][:-8], wbits=-15)[instance.header_end :]
