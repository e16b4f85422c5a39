"""Frames that the caller has, to a step or a model and back; nothing of them is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.protobuf.struct_pb2 import Struct
from numpy.typing import NDArray

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from imaging.client import conversion
from imaging.client.run_results import Finding
from imaging.errors import ImagingError, InvalidArgument
from imaging.processing.v1 import processing_service_pb2, processing_service_pb2_grpc
from imaging.rpc.status import domain_errors, from_status
from imaging.work.frame_values import BrokenFrame, LooseFrameAssembly, frame_parts

Frames = Iterable[NDArray[Any]] | AsyncIterable[NDArray[Any]]
"""Shape (rows, columns) each; int16 goes as it is, all else as float32."""


@dataclass(frozen=True, slots=True)
class ProcessedFrame:
    """What a step made of a frame."""

    index: int
    """Place among the frames that were given, from 0."""

    values: NDArray[Any] | None
    """Shape (rows, columns); None with an error."""

    error: ImagingError | None = None


@dataclass(frozen=True, slots=True)
class AnalyzedFrame:
    """What a model measured in a frame."""

    index: int
    """Place among the frames that were given, from 0."""

    findings: tuple[Finding, ...] = ()
    refusals: tuple[str, ...] = ()
    """Why something was not measured."""

    error: ImagingError | None = None


async def process_frames(
    channel: grpc.aio.Channel,
    frames: Frames,
    step: str,
    parameters: Mapping[str, Any],
    spacing_mm: tuple[float, float],
) -> AsyncGenerator[ProcessedFrame]:
    """Each frame after the step, in order, while later ones are still given.

    Raises
    ------
    NotFound, InvalidArgument
        No such step, parameters that it refuses, or a frame that is no image. What `frames` raise comes out, too.
    """
    pb = processing_service_pb2
    given = _Given(frames)
    setup = pb.ProcessFramesRequest.Setup(step=step, parameters=_struct(parameters))

    async def requests() -> AsyncIterator[processing_service_pb2.ProcessFramesRequest]:
        yield pb.ProcessFramesRequest(setup=setup)
        async for index, frame in given:
            for part in frame_parts(frame, spacing_mm):
                yield pb.ProcessFramesRequest(frame_id=index, values=part)

    stub: processing_service_pb2_grpc.ProcessingServiceAsyncStub = processing_service_pb2_grpc.ProcessingServiceStub(
        channel
    )
    call = stub.ProcessFrames(requests())
    assembly = LooseFrameAssembly()
    try:
        with given.errors(), domain_errors("processing"):
            async for answer in call:
                if answer.HasField("error"):
                    yield ProcessedFrame(answer.frame_id, None, from_status(answer.error))
                    continue
                frame = assembly.add(answer.frame_id, answer.values)
                if isinstance(frame, BrokenFrame):
                    yield ProcessedFrame(frame.frame_id, None, frame.error)
                elif frame is not None:
                    yield ProcessedFrame(frame.frame_id, frame.values)
    finally:
        call.cancel()


async def analyze_frames(
    channel: grpc.aio.Channel,
    frames: Frames,
    model: str,
    parameters: Mapping[str, Any],
    spacing_mm: tuple[float, float],
    *,
    modality: str,
    units: str,
    attributes: Mapping[str, str],
) -> AsyncGenerator[AnalyzedFrame]:
    """What the model says of each frame, in order, while later ones are still given.

    Raises
    ------
    NotFound, InvalidArgument
        No such model, parameters that it refuses, a model that needs more than a frame, or a frame that is no image.
        What `frames` raise comes out, too.
    """
    pb = analysis_service_pb2
    given = _Given(frames)
    setup = pb.AnalyzeFramesRequest.Setup(
        model=model, parameters=_struct(parameters), modality=modality, units=units, attributes=attributes
    )

    async def requests() -> AsyncIterator[analysis_service_pb2.AnalyzeFramesRequest]:
        yield pb.AnalyzeFramesRequest(setup=setup)
        async for index, frame in given:
            for part in frame_parts(frame, spacing_mm):
                yield pb.AnalyzeFramesRequest(frame_id=index, values=part)

    stub: analysis_service_pb2_grpc.AnalysisServiceAsyncStub = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
    call = stub.AnalyzeFrames(requests())
    try:
        with given.errors(), domain_errors("analysis"):
            async for answer in call:
                yield AnalyzedFrame(
                    answer.frame_id,
                    tuple(conversion.finding(finding) for finding in answer.findings),
                    tuple(f"{refusal.rule}: {refusal.message}" for refusal in answer.refusals),
                    from_status(answer.error) if answer.HasField("error") else None,
                )
    finally:
        call.cancel()


class _Given:
    """The frames with their places, from 0.

    Where they raise, or one is no image, gRPC ends the call as cancelled, without a word: `errors` tells the reason.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[tuple[int, NDArray[Any]]]:
        index = 0
        try:
            if isinstance(self._frames, AsyncIterable):
                async for frame in self._frames:
                    yield index, _plane(frame)
                    index += 1
            else:
                for frame in self._frames:
                    yield index, _plane(frame)
                    index += 1
        except Exception as error:
            self._error = error
            raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise what the frames have raised instead of the cancellation that it caused."""
        try:
            yield
        except asyncio.CancelledError:
            if self._error is None:
                raise
            raise self._error from None


def _plane(given: NDArray[Any]) -> NDArray[Any]:
    frame = np.asarray(given)
    if frame.ndim != 2 or frame.dtype.kind not in "biuf":
        raise InvalidArgument(
            f"A frame of shape {frame.shape} and type {frame.dtype}",
            where="frames",
            hint="Give (rows, columns) numbers.",
        )
    return frame


def _struct(parameters: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(dict(parameters))
    return struct
