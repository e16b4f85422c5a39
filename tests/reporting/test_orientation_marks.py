"""The letters at the edges of a key image name the sides of the patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from reporting_svc.key_images.orientation_marks import EdgeLetters, draw_edge_letters


def _header(**values: Any) -> Dataset:
    header = Dataset()
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return header


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        ([1, 0, 0, 0, 1, 0], EdgeLetters("R", "L", "A", "P")),  # axial, on the back: the patient's right is on the left
        ([-1, 0, 0, 0, -1, 0], EdgeLetters("L", "R", "P", "A")),  # axial, as seen lying prone
        ([0, 1, 0, 0, 0, -1], EdgeLetters("A", "P", "H", "F")),  # sagittal
        ([1, 0, 0, 0, 0, -1], EdgeLetters("R", "L", "H", "F")),  # coronal
        ([0.8, 0.6, 0, 0, 0, -1], EdgeLetters("RA", "LP", "H", "F")),  # oblique
    ],
)
def test_an_image_plane_tells_the_sides(orientation: list[float], letters: EdgeLetters) -> None:
    header = _header(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=orientation, PixelSpacing=[1, 1])
    assert EdgeLetters.of(header, 1) == letters


def test_a_projection_tells_its_sides_by_patient_orientation() -> None:
    assert EdgeLetters.of(_header(PatientOrientation=["L", "F"]), 1) == EdgeLetters("R", "L", "H", "F")


@pytest.mark.parametrize(
    "header", [_header(), _header(PatientOrientation=["L", ""]), _header(PatientOrientation="X\\Y")]
)
def test_without_an_orientation_there_are_no_letters(header: Dataset) -> None:
    assert EdgeLetters.of(header, 1) is None


def test_each_letter_stands_at_its_edge() -> None:
    drawn = draw_edge_letters(np.zeros((400, 300, 3), dtype=np.uint8), EdgeLetters("R", "", "", ""))
    rows, columns = np.nonzero(drawn[..., 0] > 128)
    assert 180 < rows.mean() < 220
    assert columns.max() < 40
    assert not drawn[:, 150:].any()
