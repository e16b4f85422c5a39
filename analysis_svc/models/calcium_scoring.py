"""Calcium score of the regions that somebody has drawn on a CT of the heart."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from pydantic import Field
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.calcium.calcium_score import CalciumScore, calcium_score
from analysis_svc.measurement import Analysis, Mask, Measurement, QualityFlag, SegmentReference
from analysis_svc.model import ModelParameters, Report
from analysis_svc.models.ct_input import derived_flags, require_ct_of_people, slice_thickness_mm
from analysis_svc.models.sharp_kernel import Sharpness, kernel_sharpness
from analysis_svc.regions.imaged_region import not_imaged
from analysis_svc.regions.region import Region, SegmentedVolume
from imaging.errors import MeasurementRefused
from imaging.volume.volume import SourceFrame, Volume

_AXIAL_COSINE: Final = 0.98
_STANDARD_SLICES_MM: Final = (2.4, 3.1)
_LARGEST_SLICE_MM: Final = 3.5
_STANDARD_KV: Final = 120.0
_RESEARCH_USE: Final = QualityFlag(
    "RESEARCH_USE",
    "For research; what is calcium of a coronary artery is told by whoever drew the regions. Checked on phantoms and"
    " not validated clinically: no statement of risk follows from it.",
)


class CalciumScoring:
    """Agatston score, calcium volume and, where the scanner is calibrated, calcium mass of drawn regions.

    The regions say where calcium of the coronary arteries may be: nothing is looked for, since bone and valves are as
    dense. See `analysis_svc.calcium.calcium_score`; mass as density times volume times a calibration factor (McCollough
    et al.: Radiology 243, 527, 2007).
    """

    name = "calcium-scoring"
    version = "1.0"
    description = "CT of the heart: Agatston score, volume and mass of the calcium in drawn regions."
    modalities = ("CT",)
    requires: Literal["regions"] = "regions"

    class Parameters(ModelParameters):
        """What of the acquisition is taken."""

        calibration_mg_per_ml_hu: float | None = Field(default=None, gt=0.0, lt=10.0)
        """Milligrams of hydroxyapatite in a millilitre by Hounsfield unit, from a calibration phantom; about 0.8."""

        allow_any_tube_voltage: bool = False

    def analyze(self, segmented: SegmentedVolume, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        volume = segmented.volume
        require_ct_of_people(volume, self.name)
        flags = self._acquisition(volume, parameters)
        if not segmented.regions and not segmented.refusals:
            raise self._refused(
                "NO_REGION",
                "Nobody has drawn on the series where calcium of the coronary arteries is",
                "Send a segmentation or a structure set, or let an earlier stage of the recipe make one.",
            )
        refusals = list(segmented.refusals)
        measurements: list[Measurement] = []
        counted = np.zeros(volume.voxels.shape, dtype=np.bool_)
        scores: list[CalciumScore] = []
        for number, region in enumerate(segmented.regions):
            report(number, len(segmented.regions), "regions", "scoring")
            if refusal := not_imaged(region, volume):
                refusals.append(refusal)
                continue
            # A voxel that two regions share counts once, so that the total is the sum.
            own = region.mask & ~counted[region.box]
            score = calcium_score(volume.voxels[region.box], own, volume.spacing_mm)
            counted[region.box] |= score.mask
            scores.append(score)
            frame = volume.frames[_richest(region, score)]
            measurements += _told(score, region.label, frame, parameters, flags, region)
        if not scores:
            return Analysis(refusals=tuple(refusals))
        if refusals:
            flags = (*flags, QualityFlag("INCOMPLETE", f"{len(refusals)} regions could not be scored."))
        total = _sum(scores, counted)
        frame = volume.frames[int(counted.sum(axis=(1, 2)).argmax())]
        measurements = [*_told(total, "Calcium in all", frame, parameters, flags), *measurements]
        mask = Mask(
            label="Calcium",
            voxels=counted,
            category=concepts.ABNORMAL_STRUCTURE,
            type=concepts.VASCULAR_CALCIFICATION,
            colour=(250, 120, 40),
            tracking_identifier="Calcium in all",
        )
        return Analysis(tuple(measurements), (mask,), tuple(refusals))

    def _acquisition(self, volume: Volume, parameters: Parameters) -> tuple[QualityFlag, ...]:
        if abs(float(volume.direction[0][2])) < _AXIAL_COSINE:
            raise self._refused("NOT_AXIAL", "The slices are not axial", "Take the axial series.")
        if volume.attributes.get("ContrastBolusAgent"):
            raise self._refused(
                "CONTRAST_AGENT",
                "A contrast agent was given (0018,0010): blood is denser than 130 HU",
                "Take the series before contrast.",
            )
        thickness = slice_thickness_mm(volume)
        if thickness > _LARGEST_SLICE_MM:
            raise self._refused(
                "THICK_SLICES",
                f"The slices are {thickness:.2f} mm thick or apart; the limit is {_LARGEST_SLICE_MM:g} mm",
                "Take the series with slices of 2.5 or 3 mm.",
            )
        voltage = volume.attributes.get("KVP", "")
        try:
            is_standard = abs(float(voltage) - _STANDARD_KV) < 1
        except ValueError:
            is_standard = False
        told = f"{voltage} kV" if voltage else "not told"
        if not is_standard and not parameters.allow_any_tube_voltage:
            raise self._refused(
                "TUBE_VOLTAGE",
                f"The tube voltage is {told} (0018,0060); the score is defined for 120 kV",
                "Take a series of 120 kV, or set allow_any_tube_voltage.",
            )
        flags = [_RESEARCH_USE, *derived_flags(volume)]
        if not is_standard:
            flags.append(QualityFlag("TUBE_VOLTAGE", f"The tube voltage is {told}; calcium is denser at a lower one."))
        if not _STANDARD_SLICES_MM[0] <= thickness <= _STANDARD_SLICES_MM[1]:
            flags.append(
                QualityFlag(
                    "SLICE_THICKNESS",
                    f"The slices are {thickness:.2f} mm thick or apart; the score is defined for 3 mm.",
                )
            )
        kernel = volume.attributes.get("ConvolutionKernel", "")
        if kernel_sharpness(kernel) is Sharpness.SHARP:
            flags.append(QualityFlag("SHARP_KERNEL", f"The kernel {kernel!r} is sharp: its noise counts as calcium."))
        return tuple(flags)

    def _refused(self, rule: str, what: str, hint: str) -> MeasurementRefused:
        return MeasurementRefused(what, where=self.name, hint=hint, metadata={"rule": rule})


def _richest(region: Region, score: CalciumScore) -> int:
    """Index of the slice of the volume that shows the most calcium of a region."""
    if not score.mask.any():
        return region.widest_slice
    return int(region.box[0].start) + int(score.mask.sum(axis=(1, 2)).argmax())


def _sum(scores: list[CalciumScore], counted: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> CalciumScore:
    volume = sum(score.volume_mm3 for score in scores)
    return CalciumScore(
        agatston=sum(score.agatston for score in scores),
        volume_mm3=volume,
        mean_hu=sum(score.mean_hu * score.volume_mm3 for score in scores) / volume if volume else 0.0,
        lesion_sections=sum(score.lesion_sections for score in scores),
        mask=counted,
    )


def _told(
    score: CalciumScore,
    label: str,
    frame: SourceFrame,
    parameters: CalciumScoring.Parameters,
    flags: tuple[QualityFlag, ...],
    region: Region | None = None,
) -> list[Measurement]:
    segment: SegmentReference | None = None if region is None else region.segment

    def of(concept: Code, value: float, unit: Code) -> Measurement:
        return Measurement(
            concept=concept,
            value=value,
            unit=unit,
            site=None if region is None else region.site,
            finding_type=concepts.VASCULAR_CALCIFICATION,
            tracking_identifier=label,
            frames=(frame,),
            segment=segment,
            segment_label="Calcium" if region is None else "",
            quality_flags=flags,
        )

    told = [
        of(concepts.AGATSTON_SCORE, score.agatston, concepts.NO_UNIT),
        of(concepts.CALCIUM_VOLUME, score.volume_mm3, concepts.CUBIC_MILLIMETRE),
    ]
    if parameters.calibration_mg_per_ml_hu is not None:
        milligrams = parameters.calibration_mg_per_ml_hu * score.mean_hu * score.volume_mm3 / 1000
        told.append(of(concepts.CALCIUM_MASS, milligrams, concepts.MILLIGRAM))
    return told
