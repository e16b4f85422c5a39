"""Stored values to values with a meaning: as the renderer and the models take them, or a typed refusal."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from imaging.client.modality_values import modality_values
from imaging.errors import PixelDataInvalid

STORED = np.array([[-8, -7], [0, 7]], dtype=np.int16)


def test_a_table_whose_first_input_is_below_zero_is_read_as_signed() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [16, 65536 - 8, 16])
    item.add_new("LUTData", "US", [100 * index for index in range(16)])
    header = Dataset()
    header.PixelRepresentation, header.ModalityLUTSequence = 1, [item]
    assert modality_values(STORED, header, 1).tolist() == [[0, 100], [800, 1500]]


def test_a_dose_grid_is_scaled() -> None:
    header = Dataset()
    header.DoseGridScaling = "0.5"
    assert modality_values(STORED, header, 1).tolist() == [[-4, -3.5], [0, 3.5]]


def test_an_empty_transformation_leaves_the_stored_values() -> None:
    header = Dataset()
    header.RescaleSlope = header.RescaleIntercept = None
    np.testing.assert_array_equal(modality_values(STORED, header, 1), STORED)


def test_each_frame_of_an_enhanced_image_has_a_transformation_of_its_own() -> None:
    header = Dataset()
    header.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset()]
    for slope, frame in enumerate(header.PerFrameFunctionalGroupsSequence, start=2):
        frame.PixelValueTransformationSequence = [Dataset()]
        frame.PixelValueTransformationSequence[0].RescaleSlope = slope
        frame.PixelValueTransformationSequence[0].RescaleIntercept = 0
    np.testing.assert_array_equal(modality_values(STORED, header, 2), STORED * 3.0)


def test_a_slope_of_zero_is_refused_instead_of_giving_one_number_for_all_pixels() -> None:
    header = Dataset()
    header.RescaleSlope, header.RescaleIntercept = 0, -5
    with pytest.raises(PixelDataInvalid, match="Rescale Slope"):
        modality_values(STORED, header, 1)
