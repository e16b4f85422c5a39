"""Exposure index of radiographs, as the detector tells it (IEC 62494-1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.measurement import Analysis, Measurement, QualityFlag, Refusal
from analysis_svc.model import Frames, ModelParameters, Report
from imaging.errors import MeasurementRefused
from imaging.volume.volume import SourceFrame

_DISAGREE: Final = 0.3
_USUAL: Final = 1.0
"""A deviation beyond it is told: a quarter more or a fifth less exposure than was aimed at (Shepard et al.: AAPM TG
116, Med Phys 36, 2898, 2009)."""


class ExposureIndex:
    """Exposure index, target and deviation of each image, checked against each other.

    Deviation index = 10 log10(exposure index / target). Sensitivity numbers of makers (0018,6000) are no exposure index
    by the standard, and their scales differ: they are not told.
    """

    name = "exposure-index"
    version = "1.0"
    description = "Radiographs: exposure index, its target and the deviation by IEC 62494-1."
    modalities = ("CR", "DX", "MG", "IO", "PX", "RG")
    requires: Literal["frames"] = "frames"

    class Parameters(ModelParameters):
        """It takes none."""

    def analyze(self, images: Frames, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        measurements: list[Measurement] = []
        refusals: list[Refusal] = []
        for index, frame in enumerate(images):
            report(index + 1, images.frame_count, "frames", "reading")
            told = _told(frame.attributes, frame.source, f"Image {index + 1}")
            if told:
                measurements += told
            else:
                refusals.append(
                    Refusal(
                        f"exposure index of image {index + 1}",
                        "NO_EXPOSURE_INDEX",
                        "The image tells no exposure index by IEC 62494-1 (0018,1411)",
                        "Switch it on at the detector.",
                    )
                )
        if not measurements:
            raise MeasurementRefused(
                "No image tells an exposure index by IEC 62494-1 (0018,1411)",
                where=self.name,
                hint="Switch it on at the detector.",
                metadata={"rule": "NO_EXPOSURE_INDEX"},
            )
        return Analysis(tuple(measurements), refusals=tuple(refusals))


def _told(attributes: Mapping[str, str], source: SourceFrame, label: str) -> list[Measurement]:
    index, target, deviation = (
        _number(attributes, keyword) for keyword in ("ExposureIndex", "TargetExposureIndex", "DeviationIndex")
    )
    if index is None or index <= 0:
        return []
    flags: list[QualityFlag] = []
    computed = 10 * math.log10(index / target) if target is not None and target > 0 else None
    if computed is not None and deviation is not None and abs(computed - deviation) > _DISAGREE:
        flags.append(
            QualityFlag(
                "DEVIATION_DISAGREES",
                f"The image tells a deviation of {deviation:g}; index and target give {computed:.1f}, which is told.",
            )
        )
    deviation = computed if computed is not None else deviation
    if deviation is not None and abs(deviation) > _USUAL:
        times = 10 ** (deviation / 10)
        flags.append(QualityFlag("EXPOSURE_OFF_TARGET", f"The exposure is {times:.2f} times what was aimed at."))

    def of(concept: Code, value: float | None) -> list[Measurement]:
        if value is None:
            return []
        return [
            Measurement(
                concept=concept,
                value=value,
                unit=concepts.NO_UNIT,
                finding_type=concepts.IMAGE,
                tracking_identifier=label,
                frames=(source,),
                quality_flags=tuple(flags),
            )
        ]

    return [
        *of(concepts.EXPOSURE_INDEX, index),
        *of(concepts.TARGET_EXPOSURE_INDEX, target if target is not None and target > 0 else None),
        *of(concepts.DEVIATION_INDEX, deviation),
    ]


def _number(attributes: Mapping[str, str], keyword: str) -> float | None:
    try:
        value = float(attributes.get(keyword, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
