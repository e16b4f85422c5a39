"""Solid lesions in the lungs: how many there are, and how large they are."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.anatomy.lung_mask import Lungs
from analysis_svc.anatomy.patient_axes import PatientAxes
from analysis_svc.anatomy.shared_masks import shared_body_mask, shared_lung_mask
from analysis_svc.measurement import Analysis, Mask, Measurement, QualityFlag
from analysis_svc.model import ModelParameters, Report
from analysis_svc.models.ct_input import contrast_flags, hounsfield_values, require_ct_of_people, slice_thickness_mm
from analysis_svc.models.lesion_candidates import Candidate, find_candidates, hull_of_lungs
from analysis_svc.models.lesion_size import LesionSize, measure_lesion
from imaging.errors import MeasurementRefused
from imaging.volume.volume import Volume

_STEPS: Final = 4
_SMALL_VOXELS: Final = 4.0
_NOT_VALIDATED: Final = QualityFlag(
    "RESEARCH_USE",
    "For research; found by density and shape alone, checked on phantoms and not validated clinically: vessels may"
    " be taken for lesions, and lesions may be missed.",
)
_COLOURS: Final = ((230, 60, 60), (240, 150, 40), (200, 80, 200), (70, 130, 230), (60, 180, 120), (220, 200, 60))


class LesionMeasurement:
    """Volume, long and short axis of each compact solid region inside the lungs.

    Candidates: dense regions in the hull of the lungs after an opening that takes off vessels, filtered by size and
    by how round they are. Sizes: see `analysis_svc.models.lesion_size`.
    """

    name = "lesion-measurement"
    version = "1.1"
    description = "CT of the chest: solid lesions in the lungs with volume, long axis and short axis."
    modalities = ("CT",)
    requires: Literal["volume"] = "volume"

    class Parameters(ModelParameters):
        """Which regions count as lesions."""

        min_volume_mm3: float = Field(default=100.0, gt=0.0)
        """100 mm3, a diameter of 6 mm: the limit for follow-up of the Fleischner Society (MacMahon et al.: Radiology
        284, 228, 2017)."""

        max_volume_mm3: float = Field(default=500_000.0, gt=0.0)
        min_elongation: float = Field(default=0.35, ge=0.0, le=1.0)
        """Least by largest extent of a lesion; vessels are longer than wide."""

        min_sphericity: float = Field(default=0.6, ge=0.0, le=1.0)
        """1 for a ball (IBSI QCFX); branching vessels have about 0.4."""

        max_lesions: int = Field(default=20, ge=1, le=200)
        """The largest ones are told."""

        max_slice_thickness_mm: float = Field(default=5.0, gt=0.0, le=10.0)

    def analyze(self, volume: Volume, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        require_ct_of_people(volume, self.name)
        thickness = slice_thickness_mm(volume)
        if thickness > parameters.max_slice_thickness_mm + 0.01:
            raise self._refused(
                "THICK_SLICES",
                f"The slices are {thickness:.2f} mm thick or apart; the limit is"
                f" {parameters.max_slice_thickness_mm:g} mm",
                "Take the series with thin slices; max_slice_thickness_mm sets the limit.",
            )
        axes = PatientAxes.of(volume)
        voxels = axes.turn(hounsfield_values(volume))
        report(0, _STEPS, "steps", "finding the body")
        body = shared_body_mask(voxels, axes.spacing_mm)
        report(1, _STEPS, "steps", "finding the lungs")
        lungs = shared_lung_mask(voxels, body, axes.spacing_mm)
        both = lungs.both
        if not both.any():
            raise self._refused(
                "NO_LUNG", "Nothing in the series looks like a lung", "Take a series that shows the chest."
            )
        report(2, _STEPS, "steps", "finding lesions")
        hull = hull_of_lungs(both, axes.spacing_mm)
        candidates = find_candidates(
            voxels,
            hull,
            lungs.limit_hu,
            axes.spacing_mm,
            volume_range_mm3=(parameters.min_volume_mm3, parameters.max_volume_mm3),
            min_elongation=parameters.min_elongation,
        )
        report(3, _STEPS, "steps", f"measuring {len(candidates)} candidates")
        sizes: list[tuple[Candidate, LesionSize]] = []
        for candidate in candidates:
            size = measure_lesion(voxels[candidate.box], candidate.region, hull[candidate.box], axes.spacing_mm)
            if size is not None and size.sphericity >= parameters.min_sphericity:
                sizes.append((candidate, size))
            report(3, _STEPS, "steps", f"measuring {len(candidates)} candidates")
        sizes.sort(key=lambda pair: -pair[1].volume_mm3)
        answer = self._told(volume, axes, lungs, sizes, parameters)
        report(_STEPS, _STEPS, "steps", "measured")
        return answer

    def _told(
        self,
        volume: Volume,
        axes: PatientAxes,
        lungs: Lungs,
        sizes: list[tuple[Candidate, LesionSize]],
        parameters: Parameters,
    ) -> Analysis:
        flags = [_NOT_VALIDATED, *contrast_flags(volume, "vessels are denser and may be taken for lesions")]
        told = sizes[: parameters.max_lesions]
        if len(told) < len(sizes):
            flags.append(
                QualityFlag("MORE_LESIONS", f"{len(sizes)} regions fit; the {len(told)} largest are measured.")
            )
        widest = (volume.frames[int(axes.turn_back(lungs.both).sum(axis=(1, 2)).argmax())],)
        measurements = [
            Measurement(
                concept=concepts.LESION_COUNT,
                value=float(len(sizes)),
                unit=concepts.NO_UNIT,
                site=concepts.LUNG,
                finding_type=concepts.LUNG,
                tracking_identifier="Lesions",
                frames=widest,
                quality_flags=tuple(flags),
            )
        ]
        masks = []
        for number, (candidate, size) in enumerate(told, start=1):
            label = f"Lesion {number}"
            mask = np.zeros(lungs.right.shape, dtype=np.bool_)
            mask[candidate.box] = size.mask
            measurements += self._lesion(volume, axes, label, candidate, size, mask, lungs, flags)
            masks.append(
                Mask(
                    label=label,
                    voxels=axes.turn_back(mask),
                    category=concepts.ABNORMAL_STRUCTURE,
                    type=concepts.LESION,
                    site=concepts.LUNG,
                    colour=_COLOURS[(number - 1) % len(_COLOURS)],
                    tracking_identifier=label,
                )
            )
        return Analysis(tuple(measurements), tuple(masks))

    def _lesion(
        self,
        volume: Volume,
        axes: PatientAxes,
        label: str,
        candidate: Candidate,
        size: LesionSize,
        mask: NDArray[np.bool_],
        lungs: Lungs,
        flags: list[QualityFlag],
    ) -> list[Measurement]:
        start = np.array([part.start for part in candidate.box], dtype=np.float64)

        def line(ends: NDArray[np.float64]) -> tuple[float, ...]:
            in_patient = volume.to_patient_mm(axes.volume_index(ends + start, mask.shape))
            return tuple(float(coordinate) for coordinate in in_patient.ravel())

        own = list(flags)
        if size.short_axis_mm < _SMALL_VOXELS * max(axes.spacing_mm):
            own.append(
                QualityFlag(
                    "SMALL_FOR_VOXELS",
                    f"The lesion is {size.short_axis_mm / max(axes.spacing_mm):.1f} voxels wide; its volume may be off"
                    " by more than 10 %.",
                )
            )
        middle = round(float(size.centre[2] + start[2]))
        on_right = lungs.right[:, :, max(0, middle - 2) : middle + 3].sum()
        on_left = lungs.left[:, :, max(0, middle - 2) : middle + 3].sum()
        site = concepts.RIGHT_LUNG if on_right >= on_left else concepts.LEFT_LUNG
        # Where the axes lie in one frame, that one shows the lesion.
        places = axes.volume_index(size.long_axis_ends + start, mask.shape)[:, 0].round()
        widest = int(axes.turn_back(mask).sum(axis=(1, 2)).argmax())
        frames = (volume.frames[int(places[0]) if places[0] == places[1] else widest],)

        def of(concept: Code, value: float, unit: Code, **more: Any) -> Measurement:
            return Measurement(
                concept=concept,
                value=value,
                unit=unit,
                site=site,
                finding_type=concepts.LESION,
                tracking_identifier=label,
                frames=frames,
                segment_label=label,
                quality_flags=tuple(own),
                **more,
            )

        return [
            of(concepts.VOLUME, size.volume_mm3, concepts.CUBIC_MILLIMETRE),
            of(concepts.LONG_AXIS, size.long_axis_mm, concepts.MILLIMETRE, line_mm=line(size.long_axis_ends)),
            of(concepts.SHORT_AXIS, size.short_axis_mm, concepts.MILLIMETRE, line_mm=line(size.short_axis_ends)),
            of(concepts.MAXIMUM_3D_DIAMETER, size.maximum_3d_diameter_mm, concepts.MILLIMETRE),
            of(concepts.SPHERICITY, size.sphericity, concepts.NO_UNIT),
            of(concepts.ATTENUATION, size.mean_hu, concepts.HOUNSFIELD, derivation=concepts.MEAN),
        ]

    def _refused(self, rule: str, what: str, hint: str) -> MeasurementRefused:
        return MeasurementRefused(what, where=self.name, hint=hint, metadata={"rule": rule})
