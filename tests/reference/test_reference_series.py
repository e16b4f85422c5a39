"""Real series with known answers, when a folder of them is at hand.

`REFERENCE_DATA=<folder> pytest tests/reference` expects the layout `<collection>/<series>/*.dcm` with
`reference-geometry-dcm2niix.json` and `<collection>/reference/`; without it these tests skip.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

import imaging
from tests.installation.running import running_installation

DATA = Path(os.environ.get("REFERENCE_DATA", "/nonexistent"))
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="REFERENCE_DATA names no folder of reference series"),
    pytest.mark.integration,
    pytest.mark.timeout(600),
]

INSERT_RADIUS_MM = 58.7
INSERT_ANGLES = {"Air": -90, "PMP": -120, "LDPE": 180, "Poly": 120, "Acrylic": 60, "Delrin": 0, "Teflon": -60}
"""Catphan 504, module CTP404: degrees from the image's x axis, clockwise as rows grow downwards."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("reference")
    with running_installation(folder / "data") as installation, imaging.connect(installation.endpoints) as connected:
        yield connected


def _series(client: Any, folder: Path) -> Any:
    summary = client.store([folder])
    assert not summary.rejected
    header = pydicom.dcmread(next(folder.glob("*.dcm")), stop_before_pixels=True)
    (found,) = [
        item for item in client.series(summary.studies[0]) if item.series_instance_uid == header.SeriesInstanceUID
    ]
    return found


def test_the_inserts_of_the_catphan_have_their_values(client: Any) -> None:
    collection = DATA / "catphan504-varian-cbct"
    known = json.loads((collection / "reference" / "pylinac.json").read_text())
    volume = _series(client, collection / "ct").to_numpy()
    spacing_mm = volume.spacing_mm[2]
    centre_column, centre_row = known["phantom_centre_px"]
    rows, columns = np.mgrid[: volume.shape[1], : volume.shape[2]]
    middle = np.asarray(volume.array[known["origin_slice"]], dtype=float)
    for insert, degrees in INSERT_ANGLES.items():
        angle = math.radians(degrees + known["roll_deg"])
        row = centre_row + math.sin(angle) * INSERT_RADIUS_MM / spacing_mm
        column = centre_column + math.cos(angle) * INSERT_RADIUS_MM / spacing_mm
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= (5 / spacing_mm) ** 2
        # The single middle slice, where the reference averages three: within two HU and a tenth of a deviation.
        assert abs(np.median(middle[inside]) - known["hu"][insert]) < 4, insert


def _geometry() -> dict[str, Any]:
    file = DATA / "reference-geometry-dcm2niix.json"
    if not file.is_file():
        return {}
    known = json.loads(file.read_text())
    named = {name.partition("/")[2]: value for name, value in known.items()}
    return {name: value for name, value in named.items() if (DATA / name).is_dir()}


@pytest.mark.parametrize("name", sorted(_geometry()))
def test_geometry_and_values_equal_those_of_dcm2niix(client: Any, name: str) -> None:
    known = _geometry()[name]
    volume = _series(client, DATA / name).to_numpy()
    if "dicom_shape_kij" in known:
        assert list(volume.shape) == known["dicom_shape_kij"]
        assert np.allclose(volume.spacing_mm[::-1], known["nifti_zooms"], atol=1e-4)
    assert sorted(volume.shape) == sorted(known["nifti_shape_ijk"])
    # Every corner of the volume has the same place: the axes may run the other way.
    ours = [point * [-1, -1, 1] for point in _corners(_affine(volume), volume.shape)]
    theirs = _corners(np.array(known["nifti_affine_RAS"]), tuple(known["nifti_shape_ijk"]))
    for point in ours:
        assert min(math.dist(point, other) for other in theirs) < 0.02, name
    if known.get("pydicom_mean") is not None:
        values = np.asarray(volume.array, dtype=float)
        assert values.min() == known.get("pydicom_min", values.min())
        assert values.max() == known["pydicom_max"]
        assert values.mean() == pytest.approx(known["pydicom_mean"], abs=1e-3)


def test_a_stack_that_leans_is_no_volume_although_no_tag_tells_it(client: Any) -> None:
    array = _series(client, DATA / "dicom2nifti-traps" / "gantry-tilt-4slices").to_numpy()
    assert not array.is_volume
    assert "leans by 14.0 degrees" in array.not_a_volume


def _affine(volume: Any) -> Any:
    """Index (slice, row, column, 1) to patient (x, y, z, 1) in millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = volume.direction.T * np.asarray(volume.spacing_mm)
    affine[:3, 3] = volume.origin_mm
    return affine


def _corners(affine: Any, shape: tuple[int, ...]) -> list[Any]:
    ends = [(0, size - 1) for size in shape]
    return [(np.asarray(affine) @ [a, b, c, 1])[:3] for a in ends[0] for b in ends[1] for c in ends[2]]
