"""A step on frames that the caller sends and gets back."""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import numpy as np

from imaging.errors import ImagingError, Internal, InvalidArgument
from imaging.processing.v1 import processing_service_pb2 as pb
from imaging.rpc.status import to_status
from imaging.volume.volume import SourceFrame, Volume
from imaging.work.frame_values import BrokenFrame, LooseFrame, Values, frame_parts, frames_after_setup
from imaging.work.ordered_answers import ordered_answers
from imaging.work.stage_parameters import stage_parameters
from processing_svc.steps.registry import STEPS, step_named
from processing_svc.steps.step import Step

_log = logging.getLogger(__name__)

AT_A_TIME: Final = os.cpu_count() or 1
"""Frames of a stream that are worked on or wait to be taken."""


async def process_frames(requests: AsyncIterator[pb.ProcessFramesRequest]) -> AsyncGenerator[pb.ProcessFramesResponse]:
    """The processed frames in messages, in order.

    Raises
    ------
    NotFound
        No such step.
    InvalidArgument
        Parameters that it refuses, a step that needs other slices, or messages out of order.
    """
    first = await anext(aiter(requests), None)
    if first is None or not first.HasField("setup"):
        raise InvalidArgument("The first message says no step", where="setup", hint="Send it before the frames.")
    step = step_named(first.setup.step)
    if not step.within_slices:
        serving = ", ".join(sorted(name for name, each in STEPS.items() if each.within_slices))
        raise InvalidArgument(
            f"The step {step.name} needs more than one frame", where="setup.step", hint=f"Steps for frames: {serving}."
        )
    parameters = step.parsed(stage_parameters(first.setup.parameters))

    async def processed(frame: LooseFrame | BrokenFrame) -> tuple[int, Values | ImagingError, tuple[float, float]]:
        if isinstance(frame, BrokenFrame):
            return frame.frame_id, frame.error, (1.0, 1.0)
        return frame.frame_id, await asyncio.to_thread(_applied, step, parameters, frame), frame.spacing_mm

    async with aclosing(ordered_answers(frames_after_setup(requests), processed, most=AT_A_TIME)) as answers:
        async for frame_id, answer, spacing_mm in answers:
            if isinstance(answer, ImagingError):
                yield pb.ProcessFramesResponse(frame_id=frame_id, error=to_status(answer))
            else:
                for part in frame_parts(answer, spacing_mm):
                    yield pb.ProcessFramesResponse(frame_id=frame_id, values=part)


def _applied(step: Step[Any], parameters: Any, frame: LooseFrame) -> Values | ImagingError:
    """The processed frame, or why there is none: whatever a step raises is the error of this frame alone."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what is beyond float32 is told below
            plane = _plane(step, parameters, frame)
    except ImagingError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect, or no memory for this frame: the other frames go on
        kind = type(error).__name__
        _log.error(
            "a step raised", extra={"step": step.name, "kind": kind, "stack": traceback.format_tb(error.__traceback__)}
        )
        return Internal(
            f"The step {step.name} failed at this frame", where=kind, hint="The log of the service tells more."
        )
    if not np.isfinite(plane).all():
        return InvalidArgument(
            f"The step {step.name} makes values that are too large for 32 bits of it",
            where="values.content",
            hint="Send smaller values.",
        )
    return plane


def _plane(step: Step[Any], parameters: Any, frame: LooseFrame) -> Values:
    volume = Volume(
        voxels=frame.values[None],
        spacing_mm=(1.0, *frame.spacing_mm),
        origin_mm=(0.0, 0.0, 0.0),
        direction=np.eye(3)[::-1],
        frames=(SourceFrame("", "", 1),),
    )
    processed: Volume = step.apply(volume, parameters, lambda done, total: None)
    plane: Values = processed.voxels[0]
    return plane
