"""The steps that this service has, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from imaging.errors import NotFound
from processing_svc.steps.clahe import Clahe
from processing_svc.steps.denoise_median import DenoiseMedian
from processing_svc.steps.denoise_nlm import DenoiseNonLocalMeans
from processing_svc.steps.denoise_tv import DenoiseTotalVariation
from processing_svc.steps.multiplanar_reformat import MultiplanarReformat
from processing_svc.steps.progressive_htj2k import ProgressiveHtj2k
from processing_svc.steps.resample_isotropic import ResampleIsotropic
from processing_svc.steps.slab_projection import SlabProjection
from processing_svc.steps.step import Step
from processing_svc.steps.unsharp_mask import UnsharpMask
from processing_svc.steps.window import Window

STEPS: Final[Mapping[str, Step[Any]]] = MappingProxyType(
    {
        step.name: step
        for step in (
            ResampleIsotropic(),
            MultiplanarReformat(),
            SlabProjection(),
            DenoiseMedian(),
            DenoiseNonLocalMeans(),
            DenoiseTotalVariation(),
            UnsharpMask(),
            Clahe(),
            Window(),
        )
    }
)

"""Steps from volume to volume."""

COPIES: Final[Mapping[str, ProgressiveHtj2k]] = MappingProxyType({step.name: step for step in (ProgressiveHtj2k(),)})
"""Steps that work on each frame."""


def step_named(name: str) -> Step[Any]:
    """The step from volume to volume of that name.

    Raises
    ------
    NotFound
        With the names that are there.
    """
    step = STEPS.get(name)
    if step is None:
        raise NotFound(
            f"There is no processing step {name!r}",
            where="step",
            hint=f"Known steps: {', '.join(sorted({**STEPS, **COPIES}))}.",
            metadata={"step": name},
        )
    return step
