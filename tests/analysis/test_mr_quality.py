"""Foreground, signal-to-noise ratio and uniformity of MR phantoms of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis_svc.measurement import Analysis
from analysis_svc.models.mr_quality import MrQuality, foreground
from imaging.errors import MeasurementRefused
from tests.analysis.chest import silent
from tests.analysis.test_image_statistics import Images

MODEL = MrQuality()
SIZE, RADIUS, SIGNAL = 128, 45.0, 1000.0


def _disc(noise: float, slope: float = 0.0) -> NDArray[np.float32]:
    """A disc whose signal rises along the columns by a part of itself, with Rician noise as magnitudes have it."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    inside = rows**2 + columns**2 <= RADIUS**2
    signal = np.where(inside, SIGNAL * (1 + slope * columns / RADIUS), 0.0)
    rng = np.random.default_rng(7)
    real, imaginary = rng.normal(signal, noise), rng.normal(0, noise, signal.shape)
    return np.hypot(real, imaginary).astype(np.float32)


def _analyze(
    images: list[NDArray[np.float32]], image_type: str = "ORIGINAL\\PRIMARY\\M", **parameters: object
) -> Analysis:
    frames = Images(images, modality="MR", attributes={"ImageType": image_type})
    return MODEL.analyze(frames, MODEL.Parameters(**parameters), silent)  # type: ignore[arg-type] # checked


def _values(analysis: Analysis) -> dict[str, float]:
    return {item.concept.meaning: item.value for item in analysis.measurements if item.value is not None}


@pytest.mark.parametrize("noise", [10.0, 25.0, 50.0])
def test_the_ratio_is_signal_by_noise(noise: float) -> None:
    told = _values(_analyze([_disc(noise)] * 3))
    assert told["Signal to Noise Ratio"] == pytest.approx(SIGNAL / noise, rel=0.05)
    assert told["Image noise"] == pytest.approx(noise, rel=0.05)
    assert told["MR signal intensity"] == pytest.approx(SIGNAL, rel=0.02)
    assert told["Foreground fraction of the image"] == pytest.approx(100 * np.pi * RADIUS**2 / SIZE**2, rel=0.02)
    assert "Percent integral uniformity" not in told


def test_uniformity_is_that_of_the_slope_in_the_inner_three_quarters() -> None:
    told = _values(_analyze([_disc(2.0, slope=0.2)], phantom=True))
    # 75 % of a disc reach to 0.866 of its radius: the signal goes from 1 - 0.173 to 1 + 0.173 of the mean.
    assert told["Percent integral uniformity"] == pytest.approx(100 * (1 - 0.2 * np.sqrt(0.75)), abs=1.0)
    assert _values(_analyze([_disc(2.0)], phantom=True))["Percent integral uniformity"] > 98


def test_the_foreground_has_no_holes_and_no_specks() -> None:
    image = _disc(10.0)
    image[60:70, 60:70] = 0
    image[2, 2] = 5000
    mask = foreground(image)
    assert mask[65, 65]
    assert not mask[2, 2]


@pytest.mark.parametrize("image_type", ["ORIGINAL\\PRIMARY\\P\\ND", "DERIVED\\PRIMARY\\DIFFUSION\\ADC"])
def test_phases_and_maps_are_refused(image_type: str) -> None:
    with pytest.raises(MeasurementRefused) as refused:
        _analyze([_disc(10.0)], image_type)
    assert refused.value.metadata["rule"] == "NOT_MAGNITUDE"


def test_images_of_nothing_are_refused() -> None:
    with pytest.raises(MeasurementRefused) as refused:
        _analyze([np.full((64, 64), 7, dtype=np.float32), np.full((64, 64), np.nan, dtype=np.float32)])
    assert refused.value.metadata["rule"] == "NO_FOREGROUND"
