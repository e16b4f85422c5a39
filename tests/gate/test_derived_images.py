"""The gate before derived images: attributes, pixels, and the place of each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from imaging.derived.derived_series import derived_series
from imaging.derived.deterministic import part10_bytes
from imaging.errors import ObjectRefused
from imaging.gate.check import Outgoing, check_object
from imaging.gate.image_place import check_places, place_of_slice
from imaging.volume.reformat import reformat
from imaging.volume.resample import resample
from imaging.volume.volume import Volume
from processing_svc.steps.multiplanar_reformat import MultiplanarReformat
from tests.gate.made_objects import (
    WHEN,
    damaged,
    derived_slice,
    phantom_series,
)


def test_a_derived_slice_lies_where_its_volume_says() -> None:
    passed = check_object(Outgoing(*derived_slice()))
    assert passed.compared == {"attributes": passed.compared["attributes"], "pixels": 1, "places": 1}
    assert passed.compared["attributes"] > 30
    assert passed.largest_deviation_mm is not None
    assert passed.largest_deviation_mm < 1e-6


def _shift(dataset: Dataset) -> None:
    dataset.ImagePositionPatient = [float(value) + 0.01 for value in dataset.ImagePositionPatient]


def _flip(dataset: Dataset) -> None:
    dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.__delattr__("KVP"), "attributes: KVP (type 2) is missing"),
        (lambda d: setattr(d, "PhotometricInterpretation", ""), "PhotometricInterpretation (type 1) has no value"),
        (lambda d: d.__delattr__("RescaleType"), "RescaleType is missing although there is a slope"),
        (lambda d: d.SourceImageSequence[0].__delattr__("ReferencedSOPInstanceUID"), "SourceImageSequence[1]."),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "pixels: PixelData has"),
        (_shift, "places: frame 1 lies 0.017 mm away"),
        (_flip, "places: frame 1 has another orientation"),
        (lambda d: setattr(d, "PixelSpacing", [4, 4.001]), "places: the pixels of frame 1 have another spacing"),
        (lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3"), "places: FrameOfReferenceUID is not that of the source"),
        (lambda d: setattr(d, "Rows", d.Rows // 2), "places: its frames have"),
        (lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.481.2"), "of no SOP Class that the gate knows"),
    ],
)
def test_a_damaged_slice_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    content, places = derived_slice()
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(damaged(content, damage), places))
    assert told in refused.value.text
    assert refused.value.where.startswith("instance ")


def test_a_slice_beyond_its_source_is_refused() -> None:
    content, _ = derived_slice()
    volume, _ = phantom_series()
    cubes = resample(volume, (4.0, 4.0, 4.0))
    far = replace(cubes, origin_mm=(cubes.origin_mm[0] + 300.0, *cubes.origin_mm[1:]))
    moved = damaged(content, lambda d: setattr(d, "ImagePositionPatient", list(far.origin_mm)))
    with pytest.raises(ObjectRefused, match="outside the images that it was made of"):
        check_object(Outgoing(moved, place_of_slice(far, 0, volume)))


def _turned(degrees: float, about: tuple[float, float, float]) -> np.ndarray:
    return Rotation.from_rotvec(np.radians(degrees) * np.asarray(about)).as_matrix()


def _acquired(turn: np.ndarray) -> tuple[Volume, list[Dataset]]:
    """A series on a turned grid, as its headers tell."""
    upright = phantom_series()[0]
    volume = replace(upright, direction=upright.direction @ turn.T)
    headers = [copy.deepcopy(header) for header in phantom_series()[1]]
    for index, header in enumerate(headers):
        header.ImagePositionPatient = volume.to_patient_mm(np.array([[index, 0.0, 0.0]]))[0].tolist()
        header.ImageOrientationPatient = volume.direction[[2, 1]].ravel().tolist()
    return volume, headers


@pytest.mark.parametrize("degrees", [0.0, 20.0, 45.0])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "oblique"])
def test_every_plane_of_a_tilted_series_passes_though_its_corners_stick_out(degrees: float, plane: str) -> None:
    volume, headers = _acquired(_turned(degrees, (0.8, 0.6, 0.0)))
    step = MultiplanarReformat()
    oblique = {"row_direction": [1, 1, 0], "column_direction": [0, 0, -1]} if plane == "oblique" else {}
    parameters = step.parsed({"plane": plane, "spacing_mm": 9.0, **oblique})
    planes = step.apply(volume, parameters, lambda done, total: None)
    images = derived_series(
        planes,
        headers,
        derivation=step.derivation(parameters),
        algorithm=step.algorithm(parameters),
        uid_parts=("test",),
        effective_time=WHEN,
    )
    for index, image in enumerate(images):
        check_object(Outgoing(part10_bytes(image), place_of_slice(planes, index, volume)))


@pytest.mark.parametrize(("axis", "told"), [(0, False), (1, False), (2, False), (0, True), (1, True), (2, True)])
def test_a_slanted_plane_beyond_the_box_around_its_source_is_refused(axis: int, told: bool) -> None:
    source, _ = phantom_series()
    planes = reformat(source, (1.0, 1.0, 0.0), (0.0, 0.0, -1.0), (9.0, 9.0, 9.0))
    # The grid sticks out by less than half a step; so much further, and a pixel centre is beyond the source.
    moved = np.array(planes.origin_mm) + (9.0 if told else 0.0) * planes.direction[axis]
    planes = replace(planes, origin_mm=tuple(moved))
    last = planes.voxels.shape[0] - 1
    places = place_of_slice(planes, last, source)
    header = Dataset()
    header.Rows, header.Columns = places.shape
    header.FrameOfReferenceUID = source.frame_of_reference_uid
    header.ImagePositionPatient = places.planes[0].position_mm.tolist()
    header.ImageOrientationPatient = places.planes[0].orientation.tolist()
    header.PixelSpacing = [9, 9]
    faults = ["frame 1 lies outside the images that it was made of"] if told else []
    assert check_places(header, places)[2] == faults
