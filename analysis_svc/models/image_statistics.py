"""Statistics and noise of the pixel values of any series of images."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.measurement import Analysis, Measurement, QualityFlag, histogram_chart
from analysis_svc.model import Frames, ModelParameters, Report
from analysis_svc.models.ct_input import HOUNSFIELD_UNIT
from analysis_svc.models.image_noise import image_noise
from analysis_svc.models.value_counts import ValueCounts
from imaging.errors import MeasurementRefused
from imaging.volume.volume import SourceFrame

_NOISE_FRAMES: Final = 64
_MOST_WARNINGS: Final = 4


class ImageStatistics:
    """Mean, standard deviation, median, percentiles and range of all pixel values after the Modality LUT, and noise.

    Padding (0028,0120) does not count. Colour is measured as luminance (ITU-R BT.601).
    """

    name = "image-statistics"
    version = "1.0"
    description = "Any images: distribution of the pixel values over the series, and image noise."
    modalities = ()
    requires: Literal["frames"] = "frames"

    class Parameters(ModelParameters):
        """How to show the distribution."""

        histogram_bins: int = Field(default=64, ge=8, le=512)

    def analyze(self, images: Frames, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        counts = ValueCounts()
        noises: list[float] = []
        middle: SourceFrame | None = None
        not_finite = False
        warnings: dict[str, None] = {}
        stride = max(1, images.frame_count // _NOISE_FRAMES)
        index = -1
        for index, frame in enumerate(images):
            valid = frame.valid
            warnings.update(dict.fromkeys(frame.warnings))
            if frame.pixels.dtype.kind == "f":
                finite = np.isfinite(frame.pixels)
                if not finite.all():
                    not_finite = True
                    valid = finite if valid is None else valid & finite
            counts.add(frame.pixels if valid is None else frame.pixels[valid])
            if index % stride == 0:
                pixels = frame.pixels if valid is None else np.where(valid, frame.pixels, 0)
                noise = image_noise(pixels, valid)
                if noise is not None:
                    noises.append(noise)
            if middle is None or index == images.frame_count // 2:
                middle = frame.source
            report(index + 1, images.frame_count, "frames", "counting pixel values")
        if not counts.count or middle is None:
            raise MeasurementRefused(
                "The series has no pixel value that counts: there are no frames, or all pixels are padding",
                where=self.name,
                hint="Take a series of images.",
                metadata={"rule": "NO_PIXELS"},
            )
        flags = _flags(images, counts, not_finite)
        flags += [QualityFlag("HEADER_REPAIRED", warning) for warning in list(warnings)[:_MOST_WARNINGS]]
        return self._told(images, counts, noises, middle, tuple(flags), parameters)

    @staticmethod
    def _told(
        images: Frames,
        counts: ValueCounts,
        noises: list[float],
        middle: SourceFrame,
        flags: tuple[QualityFlag, ...],
        parameters: Parameters,
    ) -> Analysis:
        concept, unit = _meaning(images)
        edges, heights = counts.histogram(parameters.histogram_bins)
        chart = histogram_chart(edges, heights, unit.value, f"Distribution: {concept.meaning}")

        def of(concept: Code, value: float, derivation: Code | None, **more: Any) -> Measurement:
            return Measurement(
                concept=concept,
                value=value,
                unit=unit,
                finding_type=concepts.IMAGE,
                derivation=derivation,
                tracking_identifier="Series",
                frames=(middle,),
                quality_flags=flags,
                **more,
            )

        measurements = [
            of(concept, counts.mean, concepts.MEAN, chart=chart),
            of(concept, counts.standard_deviation, concepts.STANDARD_DEVIATION),
            of(concept, counts.minimum, concepts.MINIMUM),
            of(concept, counts.percentile(5), concepts.PERCENTILE_5),
            of(concept, counts.percentile(50), concepts.MEDIAN),
            of(concept, counts.percentile(95), concepts.PERCENTILE_95),
            of(concept, counts.maximum, concepts.MAXIMUM),
        ]
        if noises:
            measurements.append(of(concepts.IMAGE_NOISE, float(np.median(noises)), concepts.STANDARD_DEVIATION))
        return Analysis(tuple(measurements))


def _meaning(images: Frames) -> tuple[Code, Code]:
    """What a pixel value is, and its unit."""
    if images.units == HOUNSFIELD_UNIT:
        return concepts.ATTENUATION, concepts.HOUNSFIELD
    unit = concepts.NO_UNIT if images.units == "1" else Code(images.units, "UCUM", images.units)
    return (concepts.MR_SIGNAL if images.modality == "MR" else concepts.PIXEL_VALUE), unit


def _flags(images: Frames, counts: ValueCounts, not_finite: bool) -> list[QualityFlag]:
    flags = []
    if images.is_colour:
        flags.append(QualityFlag("COLOUR_AS_LUMINANCE", "The images have colour; 0.299 R + 0.587 G + 0.114 B is told."))
    if images.attributes.get("LossyImageCompression") == "01":
        flags.append(
            QualityFlag("LOSSY_COMPRESSION", "The images were compressed with loss (0028,2110): noise is changed.")
        )
    if counts.is_binned:
        flags.append(
            QualityFlag("BINNED_PERCENTILES", "More than a million distinct values: percentiles are those of bins.")
        )
    if not_finite:
        flags.append(QualityFlag("NOT_FINITE", "Some pixels hold no finite number; they do not count."))
    return flags
