"""Signal, noise and signal-to-noise ratio of MR images; uniformity of phantoms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from scipy import ndimage
from skimage.filters import threshold_triangle

from analysis_svc import concepts
from analysis_svc.measurement import Analysis, Measurement, QualityFlag
from analysis_svc.model import Frames, ModelParameters, Report
from analysis_svc.models.image_noise import image_noise
from imaging.errors import MeasurementRefused
from imaging.volume.volume import SourceFrame

_NOT_MAGNITUDE: Final = frozenset(
    {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY", "ADC", "FA", "T1 MAP", "T2 MAP", "VELOCITY"}
)
"""Values of Image Type (0008,0008) of images that hold no signal but a phase, a part or a computed quantity."""

_LEAST_PART: Final = 0.02
_CENTRAL_PART: Final = 0.75
_SMOOTHING_MM2: Final = 100.0
_RESEARCH_USE: Final = QualityFlag(
    "RESEARCH_USE",
    "For research; from single images: noise that a reconstruction has filtered, and parallel imaging, make the ratio"
    " another one than that of two acquisitions.",
)


@dataclass(slots=True)
class _Seen:
    parts: list[float] = field(default_factory=list)
    signals: list[float] = field(default_factory=list)
    noises: list[float] = field(default_factory=list)
    uniformities: list[float] = field(default_factory=list)
    best: tuple[float, SourceFrame] | None = None


class MrQuality:
    """Foreground, its mean signal, noise and their ratio, as medians over the frames.

    The foreground is what is over the triangle threshold (Zack et al.: J Histochem Cytochem 25, 741, 1977), its holes
    filled. Noise is that of the foreground (`analysis_svc.models.image_noise`): air is often masked or not Rayleigh. Of
    phantoms, percent integral uniformity (ACR MRI quality control manual, 2015) in the central three quarters, averaged
    over about 1 cm2: of people it would be their anatomy.
    """

    name = "mr-quality"
    version = "1.0"
    description = "MR: foreground, signal, noise, signal-to-noise ratio; percent integral uniformity of phantoms."
    modalities = ("MR",)
    requires: Literal["frames"] = "frames"

    class Parameters(ModelParameters):
        """What was imaged."""

        phantom: bool = False
        """A uniform phantom: its uniformity is told too."""

        pixel_mm: float = 1.0
        """Of the phantom's images, for the averaging."""

    def analyze(self, images: Frames, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        kinds = set(images.attributes.get("ImageType", "").upper().split("\\"))
        if images.is_colour or kinds & _NOT_MAGNITUDE:
            told = "colour" if images.is_colour else " and ".join(sorted(kinds & _NOT_MAGNITUDE))
            raise self._refused("NOT_MAGNITUDE", f"The images are no magnitudes of the signal ({told})")
        seen = _Seen()
        for index, frame in enumerate(images):
            report(index + 1, images.frame_count, "frames", "measuring")
            pixels = np.asarray(frame.pixels, dtype=np.float64)
            if np.isfinite(pixels).all():
                _measure(pixels, frame.valid, frame.source, parameters, seen)
        if seen.best is None:
            raise self._refused("NO_FOREGROUND", "No image shows anything that stands out from its background")
        source = seen.best[1]
        flags = (_RESEARCH_USE,)

        def of(concept: Code, values: list[float], unit: Code, derivation: Code | None = None) -> list[Measurement]:
            if not values:
                return []
            return [
                Measurement(
                    concept=concept,
                    value=float(np.median(values)),
                    unit=unit,
                    finding_type=concepts.IMAGE,
                    derivation=derivation,
                    tracking_identifier="Foreground",
                    frames=(source,),
                    quality_flags=flags,
                )
            ]

        ratios = [signal / noise for signal, noise in zip(seen.signals, seen.noises, strict=True) if noise > 0]
        return Analysis(
            (
                *of(concepts.FOREGROUND_FRACTION, [100 * part for part in seen.parts], concepts.PERCENT),
                *of(concepts.MR_SIGNAL, seen.signals, concepts.NO_UNIT, concepts.MEAN),
                *of(concepts.IMAGE_NOISE, [noise for noise in seen.noises if noise > 0], concepts.NO_UNIT),
                *of(concepts.SIGNAL_TO_NOISE, ratios, concepts.NO_UNIT),
                *of(concepts.PERCENT_INTEGRAL_UNIFORMITY, seen.uniformities, concepts.PERCENT),
            )
        )

    def _refused(self, rule: str, what: str) -> MeasurementRefused:
        return MeasurementRefused(
            what, where=self.name, hint="Take a series of magnitude images.", metadata={"rule": rule}
        )


def _measure(
    pixels: NDArray[np.float64],
    valid: NDArray[np.bool_] | None,
    source: SourceFrame,
    parameters: MrQuality.Parameters,
    seen: _Seen,
) -> None:
    mask = foreground(pixels, valid)
    part = float(mask.mean())
    if part < _LEAST_PART:
        return
    signal = float(pixels[mask].mean())
    seen.parts.append(part)
    seen.signals.append(signal)
    seen.noises.append(image_noise(pixels, ndimage.binary_erosion(mask, np.ones((5, 5)))) or 0.0)
    if parameters.phantom:
        seen.uniformities.append(_integral_uniformity(pixels, mask, parameters.pixel_mm))
    if seen.best is None or part > seen.best[0]:
        seen.best = (part, source)


def foreground(pixels: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """What stands out from the background, of the shape of the image; nothing in a flat image."""
    values = pixels if valid is None else pixels[valid]
    if values.size < 2 or float(np.ptp(values)) == 0:
        return np.zeros(pixels.shape, dtype=np.bool_)
    mask = pixels > threshold_triangle(values)  # type: ignore[no-untyped-call] # untyped library
    if valid is not None:
        mask &= valid
    opened = ndimage.binary_opening(mask, np.ones((3, 3)))
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(opened)
    return filled


def _integral_uniformity(pixels: NDArray[np.float64], mask: NDArray[np.bool_], pixel_mm: float) -> float:
    """100 (1 - (max - min) / (max + min)) of the averaged signal, in the inner part of the mask that has 75 % of it."""
    depth = ndimage.distance_transform_edt(mask)
    inner = depth >= np.quantile(depth[mask], 1 - _CENTRAL_PART)
    size = max(1, round(_SMOOTHING_MM2**0.5 / pixel_mm))
    averaged = ndimage.uniform_filter(pixels, size)[inner]
    high, low = float(averaged.max()), float(averaged.min())
    return 100 * (1 - (high - low) / (high + low))
