"""Models of other packages: found, run, and left out when they are broken."""

from __future__ import annotations

import logging
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
import pytest

from analysis_svc.measurement import Analysis
from analysis_svc.model import Model
from analysis_svc.models.tissue_composition import TissueComposition
from analysis_svc.registry import InstalledModel, ModelRegistry
from imaging.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.analysis.chest import hounsfield_volume, silent

BUILT_IN = [
    "calcium-scoring",
    "exposure-index",
    "image-statistics",
    "lesion-measurement",
    "lung-emphysema",
    "mr-quality",
    "pet-uptake",
    "radiomics",
    "region-axes",
    "tissue-composition",
]

BRIGHT_VOXELS = """
from typing import Literal
from pydicom.sr.codedict import codes
from analysis_svc.concepts import MILLILITRE
from analysis_svc.measurement import Analysis, Measurement
from analysis_svc.model import ModelParameters, Report
from imaging.volume.volume import Volume

class BrightVoxels:
    name, version, description = "bright-voxels", "1.0", "Volume of all voxels over a limit."
    modalities = ("CT",)
    requires: Literal["volume"] = "volume"

    class Parameters(ModelParameters):
        limit_hu: float = 300.0

    def analyze(self, volume: Volume, parameters: Parameters, report: Report) -> Analysis:
        millilitres = float((volume.voxels > parameters.limit_hu).sum()) * volume.voxel_volume_mm3 / 1000
        return Analysis((Measurement(concept=codes.SCT.Volume, value=millilitres, unit=MILLILITRE),))
"""


def install(folder: Path, package: str, code: str, entry_points: dict[str, str]) -> None:
    """Lay a package into a folder as pip does: its code, and a dist-info with metadata and entry points."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entry_points.items())
    (info / "entry_points.txt").write_text(f"[imaging.models]\n{lines}")
    (info / "RECORD").write_text("")
    invalidate_caches()


def test_the_built_in_models_are_found() -> None:
    registry = ModelRegistry.discover()
    assert [entry.model.name for entry in registry.all()] == BUILT_IN
    assert registry.problems == ()
    assert {entry.distribution.split()[0] for entry in registry.all()} == {"imaging-pipeline"}
    for entry in registry.all():
        assert isinstance(entry.model, Model)
        assert '"additionalProperties": false' in entry.parameters_schema


def test_a_model_of_another_package_is_found_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "bright_package", BRIGHT_VOXELS, {"bright-voxels": "bright_package:BrightVoxels"})
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = ModelRegistry.discover().get("bright-voxels")
    assert entry.distribution == "bright_package 1.2"
    voxels = np.zeros((2, 10, 10), dtype=np.int16)
    voxels[:, :5] = 500
    answer = entry.model.analyze(hounsfield_volume(voxels), entry.parameters({"limit_hu": 400}), silent)
    assert isinstance(answer, Analysis)
    assert answer.measurements[0].value == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("code", "target", "reason"),
    [
        ("raise RuntimeError('boom')", "broken:Broken", "RuntimeError"),
        ("", "broken:Broken", "AttributeError"),
        ("class Broken: name = 'broken'", "broken:Broken", "it has no version"),
        (BRIGHT_VOXELS, "broken:BrightVoxels", "not that of its entry point"),
        (
            BRIGHT_VOXELS.replace("bright-voxels", "broken").replace("limit_hu: float = 300.0", "limit_hu: float"),
            "broken:BrightVoxels",
            "ValidationError",
        ),
        (
            BRIGHT_VOXELS.replace("bright-voxels", "broken").replace('("CT",)', '"CT"'),
            "broken:BrightVoxels",
            "modalities is a string",
        ),
    ],
)
def test_a_broken_plug_in_is_told_and_left_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: str,
    target: str,
    reason: str,
) -> None:
    package = f"broken_{abs(hash((code, target)))}"
    install(tmp_path, package, code, {"broken": target.replace("broken:", f"{package}:")})
    monkeypatch.syspath_prepend(str(tmp_path))
    with caplog.at_level(logging.WARNING):
        registry = ModelRegistry.discover()
    assert [entry.model.name for entry in registry.all()] == BUILT_IN
    assert len(registry.problems) == 1
    assert reason in registry.problems[0]
    assert [record.__dict__["entry_point"] for record in caplog.records] == ["broken"]


def test_two_packages_with_the_same_model_are_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = BRIGHT_VOXELS.replace("bright-voxels", "lung-emphysema")
    install(tmp_path, "second_lungs", code, {"lung-emphysema": "second_lungs:BrightVoxels"})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FailedPrecondition, match=r"second_lungs 1\.2"):
        ModelRegistry.discover()


def test_an_unknown_model_is_told_with_those_that_are_there() -> None:
    with pytest.raises(NotFound, match="lung-emphysema"):
        ModelRegistry.discover().get("lung-emphysema-2")


@pytest.mark.parametrize("given", [{"bone": 1}, {"bone_threshold_hu": "much"}, {"bone_threshold_hu": 5000.0}])
def test_wrong_parameters_are_refused_by_name(given: dict[str, object]) -> None:
    installed = InstalledModel(TissueComposition(), "test")
    with pytest.raises(InvalidArgument) as refused:
        installed.parameters(given)
    assert next(iter(given)) in refused.value.text
    assert "bone_threshold_hu" in refused.value.hint


def test_whole_numbers_of_a_struct_are_taken_for_integers() -> None:
    # google.protobuf.Struct has no integers: 20 arrives as 20.0.
    installed = ModelRegistry.discover().get("lesion-measurement")
    assert installed.parameters({"max_lesions": 5.0}).model_dump()["max_lesions"] == 5
