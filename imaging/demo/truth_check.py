"""The phantom: what was measured beside what is true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from imaging.client.run_results import Finding
from imaging.phantom.truth import PhantomTruth

PHANTOM_STUDY_DESCRIPTION: Final = "Generated CT chest phantom"

_VOLUME: Final = "118565006"  # SCT
_LONG_AXIS: Final = "103339001"  # SCT
VOLUME_TOLERANCE_PERCENT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of the phantom."""

    name: str
    unit: str
    truth: float
    measured: float | None
    """None when nothing was measured."""

    tolerance: float | None
    """The greatest difference that passes, in the unit; None: told, not judged."""

    @property
    def difference(self) -> float | None:
        """Measured minus truth."""
        return None if self.measured is None else self.measured - self.truth

    @property
    def is_within(self) -> bool | None:
        """Whether the difference passes; None when it is not judged."""
        if self.tolerance is None:
            return None
        return self.difference is not None and abs(self.difference) <= self.tolerance


def compare(truth: PhantomTruth, findings: Sequence[Finding], voxel_mm: float) -> list[Comparison]:
    """Each known measure beside the finding that tells it.

    Parameters
    ----------
    voxel_mm
        The longest side of a voxel: what a diameter may differ by.
    """
    return [*_organs(truth, findings), *_lesions(truth, findings, voxel_mm)]


def _organs(truth: PhantomTruth, findings: Sequence[Finding]) -> Iterator[Comparison]:
    volumes = (
        ("lung-emphysema", "Lungs", truth.lung_volume_mm3),
        ("lung-emphysema", "Right lung", truth.right_lung_volume_mm3),
        ("lung-emphysema", "Left lung", truth.left_lung_volume_mm3),
        ("tissue-composition", "Fat", truth.fat_volume_mm3),
        ("tissue-composition", "Soft tissue", truth.soft_tissue_volume_mm3),
        ("tissue-composition", "Bone", truth.bone_volume_mm3),
    )
    for model, tracked, volume_mm3 in volumes:
        millilitres = volume_mm3 / 1000
        judged = model == "lung-emphysema"
        tolerance = millilitres * VOLUME_TOLERANCE_PERCENT / 100 if judged else None
        measured = _value(findings, model, tracked, _VOLUME)
        yield Comparison(f"{tracked}: volume", "mL", millilitres, measured, tolerance)
    laa = _value(findings, "lung-emphysema", "Lungs", "LAA_950")
    yield Comparison("Lungs: LAA-950", "%", truth.laa_950_percent, laa, None)
    perc15 = _value(findings, "lung-emphysema", "Lungs", "PERC15")
    yield Comparison("Lungs: Perc15", "[hnsf'U]", truth.perc15_hu, perc15, None)


def _lesions(truth: PhantomTruth, findings: Sequence[Finding], voxel_mm: float) -> Iterator[Comparison]:
    measured = _by_lesion(finding for finding in findings if finding.model == "lesion-measurement")
    # The models number lesions by what they see, the truth by name: the largest belongs to the largest.
    largest_first = sorted(measured, key=lambda values: -values.get(_VOLUME, 0.0))
    for place, lesion in enumerate(sorted(truth.lesions, key=lambda lesion: -lesion.volume_mm3)):
        values = largest_first[place] if place < len(largest_first) else {}
        tolerance = lesion.volume_mm3 * VOLUME_TOLERANCE_PERCENT / 100
        yield Comparison(f"{lesion.name}: volume", "mm3", lesion.volume_mm3, values.get(_VOLUME), tolerance)
        yield Comparison(f"{lesion.name}: long axis", "mm", lesion.long_axis_mm, values.get(_LONG_AXIS), voxel_mm)


def _by_lesion(findings: Iterable[Finding]) -> list[dict[str, float]]:
    lesions: dict[str, dict[str, float]] = {}
    for finding in findings:
        if finding.value is not None and finding.concept.value in (_VOLUME, _LONG_AXIS):
            lesions.setdefault(finding.tracking_uid, {})[finding.concept.value] = finding.value
    return list(lesions.values())


def _value(findings: Sequence[Finding], model: str, tracked: str, concept: str) -> float | None:
    for finding in findings:
        if finding.model == model and finding.tracking_identifier == tracked and finding.concept.value == concept:
            return finding.value
    return None
