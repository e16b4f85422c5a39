"""The Model protocol: a function from the images of a series to measurements and masks.

A model of your own is a class of about twenty lines in your own package, named in its `pyproject.toml`:

    [project.entry-points."imaging.models"]
    bright-voxels = "my_package.bright_voxels:BrightVoxels"

    class BrightVoxels:
        name, version, description = "bright-voxels", "1.0", "Volume of all voxels over a limit."
        modalities = ("CT",)
        requires: Literal["volume"] = "volume"

        class Parameters(ModelParameters):
            limit_hu: float = 300.0

        def analyze(self, volume: Volume, parameters: Parameters, report: Report) -> Analysis:
            millilitres = float((volume.voxels > parameters.limit_hu).sum()) * volume.voxel_volume_mm3 / 1000
            return Analysis((Measurement(concept=VOLUME, value=millilitres, unit=MILLILITRE),))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from analysis_svc.measurement import Analysis
from imaging.volume.volume import SourceFrame

Report = Callable[[int, int, str, str], None]
"""Tells progress as (done, total, unit, message); raises when the work was cancelled, so call it now and then."""


class ModelParameters(BaseModel):
    """Base of a model's parameters: frozen, unknown names refused; units stand in the names (`limit_hu`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class ImageFrame:
    """One frame after the Modality LUT (PS3.3 C.11.1); colour as luminance."""

    pixels: NDArray[np.float32] | NDArray[np.int16]
    """Shape (rows, columns)."""

    source: SourceFrame
    valid: NDArray[np.bool_] | None = None
    """Shape (rows, columns); False where the pixel is padding (0028,0120); None: all are valid."""

    warnings: tuple[str, ...] = ()
    """What was wrong in the header, and what was taken instead."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    """Facts from the header of its own instance, as in `Frames.attributes`."""


class Frames(Protocol):
    """The frames of a series that need not make a volume: a radiograph, a cine loop, two odd slices.

    Iterating reads them from storage one by one, in the order of the series; it may be done once.
    """

    @property
    def frame_count(self) -> int:
        """How many frames will come."""
        ...

    @property
    def modality(self) -> str:
        """(0008,0060)."""
        ...

    @property
    def units(self) -> str:
        """UCUM unit of a pixel value: `[hnsf'U]` for Hounsfield units, `1` where the series does not tell."""
        ...

    @property
    def is_colour(self) -> bool:
        """True if the stored pixels have colour, of which the luminance comes."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """Facts from the first header by DICOM keyword, as in `Volume.attributes`; empty ones are left out."""
        ...

    def __iter__(self) -> Iterator[ImageFrame]: ...


@runtime_checkable
class Model(Protocol):
    """See the module's text. One object serves all requests, from several threads: keep no state in it."""

    name: str
    """Lower-case words joined by hyphens; unique among the installed models."""

    version: str
    """Changes when the result for the same input can change."""

    description: str
    """What it measures, in a sentence."""

    modalities: Sequence[str]
    """(0008,0060) values that it takes; empty: any."""

    requires: Literal["volume", "frames", "regions"]
    """What `analyze` is given: a `Volume`, `Frames` for a model that any image suits, or a `SegmentedVolume`
    (`analysis_svc.regions.region`): the volume with its headers, and the segmentations and structure sets that are
    drawn on it."""

    Parameters: type[BaseModel]
    """Frozen, with a default for each field; its JSON Schema is shown to users."""

    def analyze(self, images: Any, parameters: Any, report: Report) -> Analysis:
        """Measurements and masks of a `Volume`, `Frames` or a `SegmentedVolume`, as `requires` says.

        Runs in a thread. To refuse everything, raise `imaging.errors.MeasurementRefused` with metadata `rule`; to
        refuse a part, put a `Refusal` into the answer.
        """
        ...
