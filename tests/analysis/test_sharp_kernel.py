"""Which kernels are sharp, by the names that makers use."""

from __future__ import annotations

import pytest

from analysis_svc.models.sharp_kernel import Sharpness, kernel_sharpness

SHARP = ["B60f", "B70f", "B80s", "Br64d\\3", "Bl57", "I70f", "LUNG", "BONE", "BONEPLUS", "EDGE", "DETAIL", "FC51"]
SHARP += ["Ram-Lak", "FC30", "FC86", "YC", "L", "D", "HRCT Lung", "Qr60", "Hr68h\\2"]
SMOOTH = ["B30f", "B31s", "Br40d\\3", "Qr40", "I31f", "STANDARD", "SOFT", "FC08", "FC13-H", "FC18", "B", "C", "UB"]


@pytest.mark.parametrize("kernel", SHARP)
def test_sharp_kernels_are_known(kernel: str) -> None:
    assert kernel_sharpness(kernel) is Sharpness.SHARP


@pytest.mark.parametrize("kernel", SMOOTH)
def test_smooth_kernels_are_known(kernel: str) -> None:
    assert kernel_sharpness(kernel) is Sharpness.SMOOTH


@pytest.mark.parametrize("kernel", ["", "  ", "X-1", "RECON 7"])
def test_other_names_are_told_to_be_unknown(kernel: str) -> None:
    assert kernel_sharpness(kernel) is Sharpness.UNKNOWN
