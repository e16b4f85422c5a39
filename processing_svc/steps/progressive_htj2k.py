"""The name and parameters of the progressive copy, which works on frames and not on a volume."""

from __future__ import annotations

from typing import ClassVar

from processing_svc.steps.step import SeriesStep, StepParameters


class ProgressiveHtj2kParameters(StepParameters):
    """There is nothing to choose: the copy is without loss."""


class ProgressiveHtj2k(SeriesStep[ProgressiveHtj2kParameters]):
    """See `processing_svc.progressive_copy`."""

    name: ClassVar[str] = "progressive-htj2k"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Copy a series in HTJ2K Lossless RPCL, whose first bytes are a smaller picture."
    Parameters = ProgressiveHtj2kParameters
