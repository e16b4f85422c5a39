"""The PET of the sarcoma, whose values are SUV already (see test_reference_regions)."""

from __future__ import annotations

import pytest

from analysis_svc.models.pet_uptake import PetUptake
from analysis_svc.regions.region import SegmentedVolume
from analysis_svc.regions.structure_set_regions import structure_set_regions
from tests.analysis.chest import silent
from tests.reference.test_reference_regions import DATA, read_datasets, read_volume

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="REFERENCE_DATA names no folder of reference series")


def test_the_tumour_has_the_uptake_of_its_voxels() -> None:
    volume = read_volume("ibsi-sts-001/pet")
    (structures,) = read_datasets("ibsi-sts-001/pet-rtstruct")
    regions, _ = structure_set_regions(structures, volume)
    segmented = SegmentedVolume(volume, tuple(regions), headers=tuple(read_datasets("ibsi-sts-001/pet")))
    analysis = PetUptake().analyze(segmented, PetUptake.Parameters(), silent)
    told = {
        (item.tracking_identifier, item.derivation.meaning): item.value
        for item in analysis.measurements
        if item.derivation is not None
    }
    assert told["Series", "Maximum"] == pytest.approx(25.4123, abs=1e-3)
    inside = volume.voxels[regions[0].box][regions[0].mask]
    assert told[regions[0].label, "Maximum"] == pytest.approx(inside.max(), rel=1e-6)
    assert told[regions[0].label, "Mean"] == pytest.approx(inside.mean(), rel=1e-4)
