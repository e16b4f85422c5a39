"""An ONNX model as a model like any other: a volume in, masks and their volumes out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from analysis_svc import concepts
from analysis_svc.anatomy.patient_axes import PatientAxes
from analysis_svc.measurement import Analysis, Mask, Measurement, QualityFlag
from analysis_svc.model import ModelParameters, Report
from analysis_svc.onnx.model_card import ModelCard, OnnxOutput, read_model_card
from analysis_svc.onnx.onnx_run import run_onnx
from imaging.errors import SettingsInvalid
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.resample import resample
from imaging.volume.volume import Volume

WEIGHTS: Final = "model.onnx"
CARD: Final = "model.yaml"


class OnnxParameters(ModelParameters):
    """It takes none: what there is to choose stands in its card."""


class OnnxModel:
    """The model of a folder with `model.onnx` and `model.yaml`.

    Its version has the digest of both files, since a file can change and keep its version.

    Raises
    ------
    SettingsInvalid
        If one of the files is missing, or the card is wrong.
    """

    requires: Literal["volume", "frames", "regions"] = "volume"
    Parameters: type[BaseModel] = OnnxParameters

    def __init__(self, folder: Path) -> None:
        self._path = folder / WEIGHTS
        self.card: ModelCard = read_model_card(folder / CARD)
        digest = hashlib.sha256((folder / CARD).read_bytes())
        try:
            with self._path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise SettingsInvalid(
                f"The weights cannot be read ({type(error).__name__})", where=str(self._path), hint="Put them there."
            ) from error
        self.name = self.card.name
        self.version = f"{self.card.version}+{digest.hexdigest()[:8]}"
        self.description = self.card.description
        self.modalities: Sequence[str] = self.card.modalities

    def analyze(self, volume: Volume, parameters: OnnxParameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        axes = PatientAxes.of(volume)
        grid = volume
        if self.card.input.spacing_mm is not None:
            spacing = [0.0, 0.0, 0.0]
            for patient_axis, volume_axis in enumerate(axes.order):
                spacing[volume_axis] = self.card.input.spacing_mm[patient_axis]
            report(0, 0, "slices", "resampling")
            grid = resample(
                volume,
                (spacing[0], spacing[1], spacing[2]),
                lambda done, total: report(done, total, "slices", "resampling"),
            )
        low, high = self.card.input.window
        scaled = (axes.turn(grid.voxels).astype(np.float32) - np.float32(low)) / np.float32(high - low)
        scaled = np.nan_to_num(np.clip(scaled, 0, 1))
        outside = is_padding(grid.voxels, padding_value(grid))
        if outside is not None:
            scaled[axes.turn(outside)] = 0
        masks = run_onnx(self.card, self._path, scaled, report)
        outside = is_padding(volume.voxels, padding_value(volume))
        flag = QualityFlag("INTENDED_USE", f"{self.card.intended_use} (Weights: {self.card.licence}.)")
        told: list[Measurement] = []
        made: list[Mask] = []
        for output, mask in zip(self.card.outputs, masks, strict=True):
            voxels = _on_grid_of(volume, grid, axes.turn_back(mask.astype(np.bool_)))
            if outside is not None:
                voxels &= ~outside
            made.append(_mask(output, voxels))
            told.append(_volume(output, voxels, volume, flag))
        return Analysis(tuple(told), tuple(made))


def _on_grid_of(volume: Volume, grid: Volume, mask: NDArray[Any]) -> NDArray[np.bool_]:
    """The mask by the nearest voxel of another grid of the same directions and middle."""
    if grid.voxels.shape == volume.voxels.shape:
        return np.ascontiguousarray(mask)
    nearest = []
    for length, size, step, other in zip(
        volume.voxels.shape, grid.voxels.shape, volume.spacing_mm, grid.spacing_mm, strict=True
    ):
        place = (np.arange(length) - (length - 1) / 2) * step / other + (size - 1) / 2
        nearest.append(np.clip(np.rint(place), 0, size - 1).astype(np.intp))
    return np.ascontiguousarray(mask[np.ix_(*nearest)])


def _mask(output: OnnxOutput, voxels: NDArray[np.bool_]) -> Mask:
    red, green, blue = output.colour
    return Mask(
        label=output.label,
        voxels=voxels,
        category=output.category.code,
        type=output.type.code,
        site=None if output.site is None else output.site.code,
        colour=(red, green, blue),
        tracking_identifier=output.label,
    )


def _volume(output: OnnxOutput, voxels: NDArray[np.bool_], volume: Volume, flag: QualityFlag) -> Measurement:
    return Measurement(
        concept=concepts.VOLUME,
        value=float(np.count_nonzero(voxels)) * volume.voxel_volume_mm3 / 1000,
        unit=concepts.MILLILITRE,
        site=None if output.site is None else output.site.code,
        finding_type=output.type.code,
        tracking_identifier=output.label,
        frames=(volume.frames[int(voxels.sum(axis=(1, 2)).argmax())],),
        segment_label=output.label,
        quality_flags=(flag,),
    )
