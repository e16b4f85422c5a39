"""A stage of processing: a series from storage, through a step, as a derived series back to storage."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

from opentelemetry import trace

from imaging import deliberate_bug
from imaging.client.storage import StorageClient
from imaging.derived.derived_series import derived_series, derived_series_uid
from imaging.derived.deterministic import part10_bytes
from imaging.errors import VolumeRefused
from imaging.gate.check import Outgoing
from imaging.gate.image_place import place_of_slice
from imaging.processing.v1 import processing_service_pb2
from imaging.volume.volume import Volume
from imaging.work import Report
from imaging.work.derived_output import derived_origin, store_derived
from imaging.work.input_digest import input_digest
from imaging.work.refusal import refusal_of
from imaging.work.stage_parameters import stage_parameters
from processing_svc.progressive_copy import progressive_copy
from processing_svc.steps.registry import COPIES, step_named
from processing_svc.steps.step import Step

Result = processing_service_pb2.ProcessSeriesResponse.Result

_tracer = trace.get_tracer("processing_svc")


async def process_series(
    storage: StorageClient, request: processing_service_pb2.ProcessSeriesRequest, report: Report
) -> Result:
    """The derived series, stored; or the reason why the series makes no volume.

    The UIDs follow from the input's digests and the algorithm, so that a second attempt finds what the first has stored
    and adds only what is missing.

    Raises
    ------
    NotFound
        No such step or series.
    InvalidArgument
        Parameters that the step refuses.
    """
    given = stage_parameters(request.parameters)
    if copier := COPIES.get(request.step):
        return await progressive_copy(storage, copier, copier.algorithm(copier.parsed(given)), request, report)
    step = step_named(request.step)
    parameters = step.parsed(given)
    algorithm = step.algorithm(parameters)
    wanted = list(request.sop_instance_uids)
    try:
        volume, headers = await storage.read_volume(
            request.series, wanted, progress=lambda done, total: report(done, total, "frames", "reading the series")
        )
        with _tracer.start_as_current_span(f"step {step.name}"):
            processed = await asyncio.to_thread(_apply, step, volume, parameters, report)
    except VolumeRefused as refused:
        return Result(algorithm=f"{step.name} {step.version}", refusals=[refusal_of(step.name, refused)])
    used = {frame.sop_instance_uid for frame in volume.frames}
    uid_parts = ["process", await input_digest(storage, request.series, used), algorithm.text]
    if deliberate_bug.active("new-uids-on-retry"):
        uid_parts.append(uuid.uuid4().hex)
    images = derived_series(
        processed,
        headers,
        derivation=step.derivation_of(processed, parameters),
        algorithm=algorithm,
        uid_parts=uid_parts,
        effective_time=request.context.effective_time.ToDatetime(UTC),
    )

    async def objects() -> AsyncIterator[Outgoing]:
        total = processed.voxels.shape[0]
        for index in range(total):
            content = await asyncio.to_thread(lambda: part10_bytes(next(images)))
            yield Outgoing(content, place_of_slice(processed, index, volume))
            report(index + 1, total, "slices", "storing the derived series")

    stored = await store_derived(storage, objects(), derived_origin(request.context), source="processing")
    study = request.series.partition("/series/")[0]
    return Result(
        series=f"{study}/series/{derived_series_uid(uid_parts)}",
        instances=[instance.name for instance in stored.instances],
        algorithm=f"{step.name} {step.version}",
        checks=stored.checks,
    )


def _apply(step: Step[Any], volume: Volume, parameters: Any, report: Report) -> Volume:
    return step.apply(volume, parameters, lambda done, total: report(done, total, "slices", f"computing {step.name}"))
