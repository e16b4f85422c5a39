"""Fat, lean soft tissue, bone and gas of the scanned part of the body, by Hounsfield values."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.anatomy.patient_axes import PatientAxes
from analysis_svc.anatomy.shared_masks import shared_body_mask
from analysis_svc.anatomy.tissue_classes import Tissue, classify
from analysis_svc.measurement import Analysis, Mask, Measurement, QualityFlag, bar_chart
from analysis_svc.model import ModelParameters, Report
from analysis_svc.models.ct_input import RESEARCH_USE, contrast_flags, hounsfield_values, require_ct_of_people
from imaging.errors import MeasurementRefused
from imaging.volume.volume import SourceFrame, Volume

_STEPS: Final = 4
_EDGE_PART: Final = 0.02

_TISSUES: Final[tuple[tuple[Tissue, str, Code, Code, tuple[int, int, int]], ...]] = (
    (Tissue.FAT, "Fat", concepts.TISSUE, concepts.FAT, (240, 200, 80)),
    (Tissue.SOFT, "Soft tissue", concepts.TISSUE, concepts.SOFT_TISSUE, (200, 80, 80)),
    (Tissue.BONE, "Bone", concepts.TISSUE, concepts.BONE, (235, 235, 220)),
    (Tissue.GAS, "Gas", concepts.BODY_SUBSTANCE, concepts.AIR, (90, 160, 220)),
)


class TissueComposition:
    """Volumes in mL and percent of the body for fat (-190 to -30 HU), lean soft tissue (to 150 HU), bone and gas.

    Limits: Mitsiopoulos et al., J Appl Physiol 85, 115 (1998); Sjöström et al., Am J Physiol 250, E736 (1986). Edge
    voxels are shared out as told in `analysis_svc.anatomy.tissue_classes`. Marrow counts as the tissue whose values
    it has, so that "bone" is mineralised bone.
    """

    name = "tissue-composition"
    version = "1.0"
    description = "CT: fat, soft tissue, bone and gas in millilitres and percent of the scanned part of the body."
    modalities = ("CT",)
    requires: Literal["volume"] = "volume"

    class Parameters(ModelParameters):
        """Limits of the method."""

        bone_threshold_hu: float = Field(default=150.0, ge=100.0, le=400.0)
        """Over this value a voxel is bone; 200 or more where a contrast agent was given."""

        store_masks: bool = True
        """Whether the tissues become a segmentation."""

    def analyze(self, volume: Volume, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        require_ct_of_people(volume, self.name)
        axes = PatientAxes.of(volume)
        voxels = axes.turn(hounsfield_values(volume))
        report(0, _STEPS, "steps", "finding the body")
        body = shared_body_mask(voxels, axes.spacing_mm)
        if not body.any():
            raise MeasurementRefused(
                "There is no body in the series: no connected part over -500 HU of at least 1 mL",
                where=self.name,
                hint="Take a series that shows the patient.",
                metadata={"rule": "NO_BODY"},
            )
        report(1, _STEPS, "steps", "classifying tissues")
        classes = classify(voxels, body, with_bone=parameters.bone_threshold_hu)
        report(2, _STEPS, "steps", "measuring")
        millilitres = volume.voxel_volume_mm3 / 1000
        amounts = {tissue: float((classes == tissue).sum()) * millilitres for tissue, *_ in _TISSUES}
        total = float(body.sum()) * millilitres
        flags = self._flags(volume, body)
        frames = _middle_frame(volume, axes.turn_back(body))
        chart = bar_chart(
            {label: 100 * amounts[tissue] / total for tissue, label, *_ in _TISSUES}, "%", "Composition of the body"
        )
        measurements = [
            Measurement(
                concept=concepts.VOLUME,
                value=total,
                unit=concepts.MILLILITRE,
                finding_type=concepts.BODY,
                tracking_identifier="Body",
                frames=frames,
                quality_flags=flags,
                chart=chart,
            )
        ]
        masks = []
        for tissue, label, category, kind, colour in _TISSUES:
            segmented = parameters.store_masks and tissue is not Tissue.GAS and amounts[tissue] > 0
            for concept, value, unit in (
                (concepts.VOLUME, amounts[tissue], concepts.MILLILITRE),
                (concepts.VOLUME_FRACTION, 100 * amounts[tissue] / total, concepts.PERCENT),
            ):
                measurements.append(
                    Measurement(
                        concept=concept,
                        value=value,
                        unit=unit,
                        finding_type=kind,
                        tracking_identifier=label,
                        frames=frames,
                        segment_label=label if segmented else "",
                        quality_flags=flags,
                    )
                )
            if segmented:
                masks.append(
                    Mask(
                        label=label,
                        voxels=axes.turn_back(classes == tissue),
                        category=category,
                        type=kind,
                        colour=colour,
                        tracking_identifier=label,
                    )
                )
        report(_STEPS, _STEPS, "steps", "measured")
        return Analysis(tuple(measurements), tuple(masks))

    @staticmethod
    def _flags(volume: Volume, body: NDArray[np.bool_]) -> tuple[QualityFlag, ...]:
        flags = [
            RESEARCH_USE,
            *contrast_flags(volume, "filled vessels and organs may count as bone; see bone_threshold_hu"),
        ]
        edges = (body[:, 0], body[:, -1], body[:, :, 0], body[:, :, -1])
        cut = sum(int(edge.sum()) for edge in edges) / sum(edge.size for edge in edges)
        if cut > _EDGE_PART:
            flags.append(
                QualityFlag(
                    "BODY_TRUNCATED",
                    f"The body goes past the field of view: it fills {100 * cut:.0f} % of the images' edges.",
                )
            )
        return tuple(flags)


def _middle_frame(volume: Volume, body: NDArray[np.bool_]) -> tuple[SourceFrame, ...]:
    """The frame in the middle of the slices that show the body."""
    slices = np.flatnonzero(body.any(axis=(1, 2)))
    return (volume.frames[int(slices[len(slices) // 2])],)
