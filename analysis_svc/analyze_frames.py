"""A model on frames that the caller sends."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from analysis_svc.finding_message import finding_message, refusal_message
from analysis_svc.measurement import Analysis, Refusal
from analysis_svc.model import ImageFrame, Model
from analysis_svc.model_thread import run_model
from analysis_svc.registry import ModelRegistry
from imaging.analysis.v1 import analysis_service_pb2 as pb
from imaging.errors import ImagingError, InvalidArgument, MeasurementRefused
from imaging.rpc.status import to_status
from imaging.volume.volume import SourceFrame
from imaging.work.frame_values import BrokenFrame, LooseFrame, frames_after_setup
from imaging.work.ordered_answers import ordered_answers
from imaging.work.stage_parameters import given_parameters

AT_A_TIME: Final = os.cpu_count() or 1
"""Frames of a stream that are worked on or wait to be taken."""


@dataclass(frozen=True, slots=True)
class OneFrame:
    """`analysis_svc.model.Frames` of a single frame."""

    frame: LooseFrame
    modality: str
    units: str
    attributes: Mapping[str, str]
    frame_count: int = 1
    is_colour: bool = False

    def __iter__(self) -> Iterator[ImageFrame]:
        yield ImageFrame(self.frame.values, SourceFrame("", "", 1), attributes=self.attributes)


async def analyze_frames(
    requests: AsyncIterator[pb.AnalyzeFramesRequest], registry: ModelRegistry, time_limit: timedelta
) -> AsyncGenerator[pb.AnalyzeFramesResponse]:
    """What the model says of each frame, in order.

    Parameters
    ----------
    time_limit
        Of the model, a frame.

    Raises
    ------
    NotFound
        No such model.
    InvalidArgument
        Parameters that it refuses, a model that needs more than a frame, or messages out of order.
    """
    first = await anext(aiter(requests), None)
    if first is None or not first.HasField("setup"):
        raise InvalidArgument("The first message says no model", where="setup", hint="Send it before the frames.")
    setup = first.setup
    installed = registry.get(setup.model)
    model, parameters = installed.model, installed.parameters(given_parameters(setup.parameters))
    if model.requires != "frames":
        serving = ", ".join(entry.model.name for entry in registry.all() if entry.model.requires == "frames")
        raise InvalidArgument(
            f"The model {model.name} needs {model.requires}, not single frames",
            where="setup.model",
            hint=f"Models for frames: {serving}.",
        )
    if model.modalities and setup.modality not in model.modalities:
        raise InvalidArgument(
            f"The model {model.name} does not take the modality {setup.modality!r}",
            where="setup.modality",
            hint=f"It takes {', '.join(model.modalities)}.",
        )

    async def measured(frame: LooseFrame | BrokenFrame) -> pb.AnalyzeFramesResponse:
        if isinstance(frame, BrokenFrame):
            return pb.AnalyzeFramesResponse(frame_id=frame.frame_id, error=to_status(frame.error))
        images = OneFrame(frame, setup.modality, setup.units or "1", dict(setup.attributes))
        try:
            analysis = await run_model(model, images, parameters, _no_report, time_limit)
            return _answer(frame.frame_id, analysis, model)
        except MeasurementRefused as error:
            rule = error.metadata.get("rule", error.reason).upper()
            refused = refusal_message(Refusal(model.name, rule, error.what, error.hint))
            return pb.AnalyzeFramesResponse(frame_id=frame.frame_id, refusals=[refused])
        except ImagingError as error:
            return pb.AnalyzeFramesResponse(frame_id=frame.frame_id, error=to_status(error))

    async with aclosing(ordered_answers(frames_after_setup(requests), measured, most=AT_A_TIME)) as answers:
        async for answer in answers:
            yield answer


def _answer(frame_id: int, analysis: Analysis, model: Model) -> pb.AnalyzeFramesResponse:
    findings = [
        finding_message(
            measurement,
            name="",
            request_id="",
            run="",
            series="",
            model=model,
            tracking_uid="",
            segmentation_sop_instance_uid="",
            segments={},
        )
        for measurement in analysis.measurements
    ]
    refusals = [refusal_message(refusal) for refusal in analysis.refusals]
    return pb.AnalyzeFramesResponse(frame_id=frame_id, findings=findings, refusals=refusals)


def _no_report(done: int, total: int, unit: str, message: str) -> None:
    """Nobody asks how far a single frame is."""
