"""Stored values to modality values, with values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from imaging.render.modality_lut import read_modality_lut

STORED = np.array([[0, 1, 2, 1024]], dtype=np.uint16)


def _header(**attributes: object) -> Dataset:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def _raw(keyword: str, value: bytes) -> Dataset:
    """A header with a value that pydicom would not let anyone write."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    header = Dataset()
    tag = Tag(tag_for_keyword(keyword) or 0)
    header._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, True, True)
    return header


def test_slope_and_intercept_give_hounsfield_units() -> None:
    lut = read_modality_lut(_header(RescaleSlope="0.5", RescaleIntercept="-1024"))
    assert lut.apply(STORED).tolist() == [[-1024.0, -1023.5, -1023.0, -512.0]]
    assert lut.warnings == ()


def test_without_anything_the_stored_values_stay() -> None:
    lut = read_modality_lut(_header())
    assert lut.is_identity
    assert lut.apply(STORED).tolist() == [[0.0, 1.0, 2.0, 1024.0]]


@pytest.mark.parametrize("value", [b"0", b"NaN ", b"inf ", b"-inf", b"1,5 ", b"1e999 "])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_unusable_rescale_values_become_the_identity_with_a_warning(keyword: str, value: bytes) -> None:
    lut = read_modality_lut(_raw(keyword, value))
    assert lut.is_identity
    assert len(lut.warnings) == (0 if (keyword, value) == ("RescaleIntercept", b"0") else 1)
    assert np.isfinite(lut.apply(STORED)).all()


def test_a_modality_lut_maps_what_lies_outside_to_its_ends() -> None:
    item = _header(LUTDescriptor=[3, 1, 16], LUTData=[10, 20, 40000])
    lut = read_modality_lut(_header(ModalityLUTSequence=[item], PixelRepresentation=0))
    assert lut.apply(STORED).tolist() == [[10.0, 10.0, 20.0, 40000.0]]


def test_a_first_mapped_value_below_zero_is_read_as_signed() -> None:
    item = _header(LUTDescriptor=[3, 65534, 16], LUTData=[5, 6, 7])
    lut = read_modality_lut(_header(ModalityLUTSequence=[item], PixelRepresentation=1))
    assert lut.apply(np.array([-3, -2, -1, 0, 1], np.int16)).tolist() == [5.0, 5.0, 6.0, 7.0, 7.0]


def test_a_modality_lut_shorter_than_its_descriptor_is_left_out_with_a_warning() -> None:
    item = _header(LUTDescriptor=[4, 0, 16], LUTData=[1, 2, 3])
    lut = read_modality_lut(_header(ModalityLUTSequence=[item], PixelRepresentation=0))
    assert lut.is_identity
    assert "3 entries, its descriptor tells 4" in lut.warnings[0]


def test_each_frame_of_an_enhanced_image_has_its_own_rescale() -> None:
    def group(slope: str) -> Dataset:
        return _header(PixelValueTransformationSequence=[_header(RescaleSlope=slope, RescaleIntercept="1")])

    header = _header(PerFrameFunctionalGroupsSequence=[group("2"), group("3")])
    assert read_modality_lut(header, 1).apply(STORED)[0, 1] == 3.0
    assert read_modality_lut(header, 2).apply(STORED)[0, 1] == 4.0


def test_a_shared_rescale_serves_all_frames() -> None:
    shared = _header(PixelValueTransformationSequence=[_header(RescaleSlope="2", RescaleIntercept="0")])
    header = _header(SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=[Dataset(), Dataset()])
    assert read_modality_lut(header, 2).slope == 2.0
