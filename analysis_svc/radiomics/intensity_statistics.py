"""Intensity-based statistics (IBSI family UHIW): the distribution of the values of a region, as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis_svc.radiomics.feature import Feature


def intensity_statistics(values: NDArray[Any], *, has_true_zero: bool = True) -> list[Feature]:
    """The 18 features of section 3.3 of the IBSI manual, in its order.

    Left out is what has no meaning for these values: a coefficient whose divisor is 0, and coefficients of variation
    and dispersion where the zero of the scale is arbitrary.

    Parameters
    ----------
    values
        Of the voxels of the region, at least one, in any order.
    has_true_zero
        False for Hounsfield units, which are relative to water.
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    mean, variance = float(x.mean()), float(x.var())
    deviations = x - mean
    p10, p25, median, p75, p90 = (float(each) for each in np.percentile(x, (10, 25, 50, 75, 90)))
    robust = x[(x >= p10) & (x <= p90)]
    features = [
        Feature("Q4LE", "Mean intensity", mean, "intensity"),
        Feature("ECT3", "Intensity variance", variance, "intensity squared"),
        Feature("KE2A", "Intensity skewness", standardized_moment(x, 3), "1"),
        Feature("IPH6", "Intensity kurtosis (excess)", standardized_moment(x, 4) - (3.0 if variance else 0.0), "1"),
        Feature("Y12H", "Median intensity", median, "intensity"),
        Feature("1GSF", "Minimum intensity", float(x.min()), "intensity"),
        Feature("QG58", "10th intensity percentile", p10, "intensity"),
        Feature("8DWT", "90th intensity percentile", p90, "intensity"),
        Feature("84IY", "Maximum intensity", float(x.max()), "intensity"),
        Feature("SALO", "Intensity interquartile range", p75 - p25, "intensity"),
        Feature("2OJQ", "Intensity range", float(x.max() - x.min()), "intensity"),
        Feature("4FUA", "Mean absolute deviation of intensity", float(np.abs(deviations).mean()), "intensity"),
        Feature(
            "1128",
            "Robust mean absolute deviation of intensity",
            float(np.abs(robust - robust.mean()).mean()),
            "intensity",
        ),
        Feature("N72L", "Median absolute deviation of intensity", float(np.abs(x - median).mean()), "intensity"),
    ]
    if has_true_zero and mean:
        features.append(Feature("7TET", "Intensity coefficient of variation", float(np.sqrt(variance)) / mean, "1"))
    if has_true_zero and p25 + p75:
        features.append(Feature("9S40", "Intensity quartile coefficient of dispersion", (p75 - p25) / (p75 + p25), "1"))
    return [
        *features,
        Feature("N8CA", "Intensity energy", float((x**2).sum()), "intensity squared"),
        Feature("5ZWQ", "Root mean square intensity", float(np.sqrt((x**2).mean())), "intensity"),
    ]


def standardized_moment(values: NDArray[np.float64], order: int) -> float:
    """The mean of the powers of the deviations by that of the standard deviation; 0 where all values are equal."""
    deviations = values - values.mean()
    variance = float((deviations**2).mean())
    return float((deviations**order).mean() / variance ** (order / 2)) if variance else 0.0
