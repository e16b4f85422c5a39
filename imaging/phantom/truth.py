"""What is true of a phantom, known from its shapes and not measured in its voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LesionTruth:
    """One lesion."""

    name: str
    volume_mm3: float
    long_axis_mm: float
    """The largest diameter in three dimensions; it lies in the plane of the slices."""

    centre_mm: tuple[float, float, float]
    """Patient coordinates (x, y, z)."""


@dataclass(frozen=True, slots=True)
class PhantomTruth:
    """The measures of the CT chest phantom, over its whole length."""

    lesions: tuple[LesionTruth, ...]
    lung_volume_mm3: float
    """Both lungs with the emphysema in them, without the lesions and without the trachea."""

    right_lung_volume_mm3: float
    left_lung_volume_mm3: float
    emphysema_volume_mm3: float
    laa_950_percent: float
    """Part of the lungs below -950 HU, in percent, of the distribution without partial volume at the edges."""

    perc15_hu: float
    """The value below which 15 % of the lungs lie."""

    fat_volume_mm3: float
    soft_tissue_volume_mm3: float
    """With the lesions, which have the density of soft tissue."""

    bone_volume_mm3: float
    trachea_volume_mm3: float
    body_volume_mm3: float
    """Everything within the skin, lungs included; without the table."""

    soft_tissue_hu: float
    fat_hu: float
    bone_hu: float
    lung_hu: float
    emphysema_hu: float
    lesion_hu: float
    noise_hu: float
    """Standard deviation of the noise in soft tissue, fat and bone."""

    lung_noise_hu: float

    def as_dict(self) -> dict[str, Any]:
        """The truth as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Component:
    """A normally distributed part of a mixture."""

    weight: float
    mean: float
    deviation: float


def fraction_below(value: float, mixture: Sequence[Component]) -> float:
    """The part (0 to 1) of a mixture of normal distributions that lies below a value."""
    total = sum(part.weight for part in mixture)
    return sum(
        part.weight / total * 0.5 * math.erfc((part.mean - value) / (part.deviation * math.sqrt(2))) for part in mixture
    )


def percentile(fraction: float, mixture: Sequence[Component]) -> float:
    """The value below which a part (0 to 1) of the mixture lies, by bisection to 1e-9."""
    low = min(part.mean - 10 * part.deviation for part in mixture)
    high = max(part.mean + 10 * part.deviation for part in mixture)
    while high - low > 1e-9:
        middle = (low + high) / 2
        if fraction_below(middle, mixture) < fraction:
            low = middle
        else:
            high = middle
    return (low + high) / 2
