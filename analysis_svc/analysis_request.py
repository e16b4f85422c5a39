"""A checked request for an analysis."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from analysis_svc.model import Model
from analysis_svc.registry import ModelRegistry
from imaging.analysis.v1 import analysis_service_pb2
from imaging.dicom.uid import is_valid_uid
from imaging.errors import InvalidArgument
from imaging.storage.v1 import storage_pb2
from imaging.work.stage_parameters import given_parameters


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """What to analyse, with what, and for whom."""

    request_id: str
    run: str
    origin: storage_pb2.Origin
    """Of what is stored."""

    effective_time: datetime
    series: str
    """`studies/{uid}/series/{uid}`."""

    sop_instance_uids: tuple[str, ...]
    """Empty: all of the series."""

    model: Model
    parameters: BaseModel

    @property
    def parameters_json(self) -> str:
        """All parameters, defaults included, in one canonical spelling."""
        return json.dumps(self.parameters.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def checked_request(request: analysis_service_pb2.AnalyzeSeriesRequest, registry: ModelRegistry) -> AnalysisRequest:
    """The request, if it can be worked on.

    Raises
    ------
    InvalidArgument
        Naming the field that is wrong.
    NotFound
        If no such model is installed.
    """
    context = request.context
    if not context.request_id:
        raise InvalidArgument(
            "The request has no request_id",
            where="context.request_id",
            hint="Choose one that is unique for this piece of work and the same when it is asked for again.",
        )
    if not context.HasField("effective_time"):
        raise InvalidArgument(
            "The request has no effective_time", where="context.effective_time", hint="Give the creation of the run."
        )
    parts = request.series.split("/")
    if len(parts) != 4 or parts[::2] != ["studies", "series"] or not all(map(is_valid_uid, parts[1::2])):
        raise InvalidArgument("The resource name is not valid", where="series", hint="Give studies/{uid}/series/{uid}.")
    if not all(map(is_valid_uid, request.sop_instance_uids)):
        raise InvalidArgument(
            "A SOP Instance UID is not valid", where="sop_instance_uids", hint="Give UIDs of the series."
        )
    installed = registry.get(request.model)
    given: dict[str, Any] = given_parameters(request.parameters)
    return AnalysisRequest(
        request_id=context.request_id,
        run=context.run,
        origin=storage_pb2.Origin(
            kind=storage_pb2.Origin.KIND_DERIVED,
            # A request without a run is one of a user; what it makes still must not start a run.
            run=context.run or f"requests/{context.request_id}",
            stage=context.stage or request.model,
            attempt=max(1, context.attempt),
        ),
        effective_time=context.effective_time.ToDatetime(tzinfo=UTC),
        series=request.series,
        sop_instance_uids=tuple(request.sop_instance_uids),
        model=installed.model,
        parameters=installed.parameters(given),
    )
