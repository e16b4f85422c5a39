"""Intensity histogram (IBSI family ZVCW): the distribution of the values of a region after discretisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis_svc.radiomics.feature import Feature
from analysis_svc.radiomics.intensity_statistics import standardized_moment


def fixed_bin_number(values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Levels 1 to `count` between the least and the largest value (IBSI K15C)."""
    x = np.asarray(values, dtype=np.float64)
    low, extent = float(x.min()), float(x.max() - x.min())
    if extent == 0:
        return np.ones(x.shape, dtype=np.int64)
    return np.minimum(np.floor(count * (x - low) / extent).astype(np.int64) + 1, count)


def intensity_histogram(levels: NDArray[np.int64], level_count: int) -> list[Feature]:
    """The 23 features of section 3.4 of the IBSI manual, in its order.

    Parameters
    ----------
    levels
        Discretised values, from 1; at least one.
    level_count
        Of the discretisation; gradients need at least two.
    """
    g = np.asarray(levels, dtype=np.float64).ravel()
    counts = np.bincount(np.asarray(levels).ravel(), minlength=level_count + 1)[1:]
    share = counts[counts > 0] / len(g)
    mean, variance = float(g.mean()), float(g.var())
    p10, p25, median, p75, p90 = (float(each) for each in np.percentile(g, (10, 25, 50, 75, 90)))
    robust = g[(g >= p10) & (g <= p90)]
    features = [
        Feature("X6K6", "Intensity Histogram Mean", mean, "1"),
        Feature("CH89", "Intensity Histogram Variance", variance, "1"),
        Feature("88K1", "Intensity Histogram Skewness", standardized_moment(g, 3), "1"),
        Feature(
            "C3I7",
            "Intensity Histogram Kurtosis",
            standardized_moment(g, 4) - (3.0 if variance else 0.0),
            "1",
        ),
        Feature("WIFQ", "Intensity Histogram Median", median, "1"),
        Feature("1PR8", "Intensity Histogram Minimum Gray Level", float(g.min()), "1"),
        Feature("GPMT", "Intensity Histogram 10th Percentile", p10, "1"),
        Feature("OZ0C", "Intensity Histogram 90th Percentile", p90, "1"),
        Feature("3NCY", "Intensity Histogram Maximum Gray Level", float(g.max()), "1"),
        Feature("AMMC", "Intensity Histogram Mode", _mode(counts, mean), "1"),
        Feature("WR0O", "Intensity Histogram Interquartile Range", p75 - p25, "1"),
        Feature("5Z3W", "Intensity Histogram Range", float(g.max() - g.min()), "1"),
        Feature("D2ZX", "Intensity Histogram Mean Absolute Deviation", float(np.abs(g - mean).mean()), "1"),
        Feature(
            "WRZB",
            "Intensity Histogram Robust Mean Absolute Deviation",
            float(np.abs(robust - robust.mean()).mean()),
            "1",
        ),
        Feature("4RNL", "Intensity Histogram Median Absolute Deviation", float(np.abs(g - median).mean()), "1"),
        Feature("CWYJ", "Intensity Histogram Coefficient of Variation", float(np.sqrt(variance)) / mean, "1"),
        Feature("SLWD", "Intensity Histogram Quartile Coefficient of Dispersion", (p75 - p25) / (p75 + p25), "1"),
        Feature("TLU2", "Intensity Histogram Entropy", max(0.0, float(-(share * np.log2(share)).sum())), "1"),
        Feature("BJ5W", "Intensity Histogram Uniformity", float((share**2).sum()), "1"),
    ]
    if len(counts) > 1:
        gradient = np.gradient(counts.astype(np.float64))
        features += [
            Feature("12CE", "Intensity Histogram Maximum Gradient", float(gradient.max()), "1"),
            Feature("8E6O", "Intensity Histogram Maximum Gradient Gray Level", float(gradient.argmax() + 1), "1"),
            Feature("VQB3", "Intensity Histogram Minimum Gradient", float(gradient.min()), "1"),
            Feature("RHQZ", "Intensity Histogram Minimum Gradient Gray Level", float(gradient.argmin() + 1), "1"),
        ]
    return features


def _mode(counts: NDArray[np.int64], mean: float) -> float:
    """The most frequent level; of several that which is closest to the mean, then the lower one."""
    candidates = np.flatnonzero(counts == counts.max()) + 1
    return float(candidates[np.abs(candidates - mean).argmin()])
