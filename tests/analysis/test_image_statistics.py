"""Statistics of pixel values: the same numbers as numpy's, and what is flagged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis_svc.measurement import Analysis
from analysis_svc.model import ImageFrame
from analysis_svc.models.image_noise import image_noise
from analysis_svc.models.image_statistics import ImageStatistics
from analysis_svc.models.value_counts import ValueCounts
from imaging.errors import MeasurementRefused
from imaging.volume.volume import SourceFrame
from tests.analysis.chest import silent

MODEL = ImageStatistics()


@dataclass(frozen=True, slots=True)
class Images:
    """Frames in memory."""

    arrays: list[NDArray[Any]]
    valid: NDArray[np.bool_] | None = None
    modality: str = "OT"
    units: str = "1"
    is_colour: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def frame_count(self) -> int:
        return len(self.arrays)

    def __iter__(self) -> Iterator[ImageFrame]:
        for number, array in enumerate(self.arrays, start=1):
            yield ImageFrame(array, SourceFrame("1.2.3", "1.2", number), self.valid)


def _analyze(images: Images) -> Analysis:
    return MODEL.analyze(images, MODEL.Parameters(), silent)


def _numbers(analysis: Analysis) -> dict[str, float]:
    return {
        f"{item.concept.meaning}, {item.derivation.meaning}": item.value
        for item in analysis.measurements
        if item.derivation is not None and item.value is not None
    }


def test_the_numbers_are_those_of_numpy() -> None:
    arrays = [np.random.default_rng(seed).normal(100, 20, (64, 64)).astype(np.int16) for seed in range(5)]
    numbers = _numbers(_analyze(Images(arrays)))
    values = np.concatenate([array.ravel() for array in arrays])
    assert numbers["Pixel value, Mean"] == pytest.approx(values.mean())
    assert numbers["Pixel value, Standard Deviation"] == pytest.approx(values.std())
    assert numbers["Pixel value, Minimum"] == values.min()
    assert numbers["Pixel value, Maximum"] == values.max()
    assert numbers["Pixel value, Median"] == pytest.approx(np.median(values), abs=1)
    assert numbers["Pixel value, 5th Percentile"] == pytest.approx(np.percentile(values, 5), abs=1)
    assert numbers["Pixel value, 95th Percentile"] == pytest.approx(np.percentile(values, 95), abs=1)


def test_images_of_different_sizes_and_a_single_one_are_measured() -> None:
    arrays = [np.zeros((7, 9), dtype=np.int16), np.full((1, 1), 4, dtype=np.int16)]
    numbers = _numbers(_analyze(Images(list(arrays))))
    assert numbers["Pixel value, Mean"] == pytest.approx(4 / 64)
    assert _numbers(_analyze(Images([np.full((1, 1), 3.5, dtype=np.float32)])))["Pixel value, Maximum"] == 3.5


def test_hounsfield_and_mr_values_have_their_own_concepts_and_units() -> None:
    array = np.arange(256, dtype=np.int16).reshape(16, 16)
    ct = _analyze(Images([array], modality="CT", units="[hnsf'U]")).measurements[0]
    assert (ct.concept.value, ct.unit and ct.unit.value) == ("112031", "[hnsf'U]")
    mr = _analyze(Images([array], modality="MR")).measurements[0]
    assert (mr.concept.value, mr.unit and mr.unit.value) == ("110852", "1")
    pet = _analyze(Images([array], modality="PT", units="Bq/mL")).measurements[0]
    assert pet.unit is not None
    assert pet.unit.value == "Bq/mL"


def test_padding_and_numbers_that_are_not_finite_do_not_count() -> None:
    array = np.full((8, 8), 10.0, dtype=np.float32)
    array[0, 0], array[1, 1] = np.nan, -2000.0
    valid = np.ones((8, 8), dtype=np.bool_)
    valid[1, 1] = False
    analysis = _analyze(Images([array], valid))
    assert _numbers(analysis)["Pixel value, Minimum"] == 10.0
    assert "NOT_FINITE" in {flag.code for flag in analysis.measurements[0].quality_flags}


def test_colour_and_lossy_compression_are_flagged() -> None:
    images = Images([np.eye(8, dtype=np.float32)], is_colour=True, attributes={"LossyImageCompression": "01"})
    flags = {flag.code for flag in _analyze(images).measurements[0].quality_flags}
    assert flags == {"COLOUR_AS_LUMINANCE", "LOSSY_COMPRESSION"}


def test_a_series_of_nothing_but_padding_is_refused() -> None:
    with pytest.raises(MeasurementRefused) as refused:
        _analyze(Images([np.zeros((4, 4), dtype=np.int16)], np.zeros((4, 4), dtype=np.bool_)))
    assert refused.value.metadata["rule"] == "NO_PIXELS"


def test_the_frame_in_the_middle_shows_the_series() -> None:
    analysis = _analyze(Images([np.eye(4, dtype=np.int16)] * 5))
    assert {item.frames[0].frame_number for item in analysis.measurements} == {3}


@settings(max_examples=10, deadline=None)
@given(st.floats(2, 60), st.integers(0, 1000), st.floats(-3, 3))
def test_noise_on_a_ramp_with_an_edge_is_found_to_five_percent(sigma: float, seed: int, slope: float) -> None:
    y, x = np.mgrid[:160, :160]
    image = slope * x + 2 * y + np.where(x > 80, 500, 0) + np.random.default_rng(seed).normal(0, sigma, x.shape)
    assert image_noise(image) == pytest.approx(sigma, rel=0.05)


def test_flat_and_tiny_images_have_no_noise_to_tell() -> None:
    assert image_noise(np.full((64, 64), 7)) is None
    assert image_noise(np.arange(4).reshape(2, 2)) is None


def test_a_clipped_background_does_not_hide_the_noise() -> None:
    image = np.random.default_rng(1).normal(0, 20, (200, 200))
    image[:, :150] = -1024
    assert image_noise(image) == pytest.approx(20, rel=0.06)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-2000, 2000), min_size=1, max_size=30), min_size=1, max_size=6))
def test_counting_in_parts_equals_counting_at_once(parts: list[list[int]]) -> None:
    counts = ValueCounts()
    for part in parts:
        counts.add(np.array(part, dtype=np.int16))
    values = np.concatenate([np.array(part, dtype=np.float64) for part in parts])
    assert counts.count == len(values)
    assert counts.mean == pytest.approx(values.mean())
    assert counts.standard_deviation == pytest.approx(values.std(), abs=1e-9)
    assert (counts.minimum, counts.maximum) == (values.min(), values.max())
    assert counts.percentile(50) == np.sort(values)[int(np.ceil(len(values) / 2)) - 1]
    edges, heights = counts.histogram(16)
    assert heights.sum() == len(values)
    assert len(edges) == len(heights) + 1
    assert (np.diff(edges) > 0).all()


def test_more_than_a_million_distinct_values_are_put_into_bins() -> None:
    counts = ValueCounts()
    values = np.random.default_rng(2).random(1_300_000)
    counts.add(values)
    assert counts.is_binned
    assert counts.mean == pytest.approx(values.mean())
    assert counts.percentile(95) == pytest.approx(0.95, abs=1e-3)
