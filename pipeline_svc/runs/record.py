"""A run and its stages as they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from google.protobuf import json_format
from sqlalchemy import RowMapping

from imaging.database import clock
from imaging.pipeline.v1 import pipeline_pb2
from imaging.stage.v1.stage_pb2 import ObjectCheck, Refusal
from pipeline_svc.recipes.stage_spec import Kind, Parameter

State: TypeAlias = pipeline_pb2.State.ValueType

GOING: tuple[State, ...] = (pipeline_pb2.STATE_PENDING, pipeline_pb2.STATE_RUNNING)
"""States in which there is something left to do."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage before it began: everything that is decided when a run is planned."""

    name: str
    """Unique in its run: its position, counted from 1, and what it uses."""

    kind: Kind
    uses: str
    parameters: Mapping[str, Parameter]
    is_optional: bool
    input: str
    """The `process` stage whose output it works on; empty: the selected series."""

    documents: tuple[str, ...]
    """Forms of a report; of `send`, what is sent."""

    selected_series: str
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a stage has done."""

    series: str = ""
    """The derived series of a `process` stage; empty when it was refused."""

    instances: tuple[str, ...] = ()
    finding_count: int = 0
    refusals: tuple[Refusal, ...] = ()
    algorithm: str = ""
    report: str = ""
    checks: tuple[ObjectCheck, ...] = ()
    """What was compared of its objects before they were stored."""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage of a run as it is kept."""

    run_id: str
    position: int
    plan: StagePlan
    series: str
    """What it works on, once it began."""

    state: State
    attempts: int
    replica: str
    """`host:port` of the replica of its service that was asked last; empty before the first attempt."""

    start_time: datetime | None
    end_time: datetime | None
    outcome: StageOutcome
    error: str

    @property
    def request_id(self) -> str:
        """The same over all attempts, restarts and retries: what makes its effect happen once."""
        return f"{self.run_id}.{self.plan.name}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is kept."""

    id: str
    number: int
    study: str
    manifest_version: int
    asked_recipe: str
    recipe: str
    recipe_version: int
    recipe_source: str
    state: State
    is_planned: bool
    reason: str
    traceparent: str
    create_time: datetime
    end_time: datetime | None
    superseded_by: str
    report: str
    stages: tuple[StageRecord, ...] = field(default=())

    @property
    def name(self) -> str:
        """`runs/{id}`."""
        return f"runs/{self.id}"

    @property
    def is_going(self) -> bool:
        """True while there is something left to do."""
        return self.state in GOING

    @property
    def trace_id(self) -> str:
        """32 hex digits: the second field of the W3C traceparent."""
        return self.traceparent.split("-")[1]


def run_record(row: RowMapping, stages: Sequence[RowMapping]) -> RunRecord:
    """The run in a row of the table, with the rows of its stages."""
    return RunRecord(
        id=row["id"],
        number=row["number"],
        study=row["study"],
        manifest_version=row["manifest_version"],
        asked_recipe=row["asked_recipe"],
        recipe=row["recipe"],
        recipe_version=row["recipe_version"],
        recipe_source=row["recipe_source"],
        state=row["state"],
        is_planned=row["is_planned"],
        reason=row["reason"],
        traceparent=row["traceparent"],
        create_time=clock.from_microseconds(row["create_time_us"]),
        end_time=clock.from_microseconds(row["end_time_us"]) if row["end_time_us"] is not None else None,
        superseded_by=row["superseded_by"],
        report=row["report"],
        stages=tuple(_stage_record(stage) for stage in stages),
    )


def _stage_record(row: RowMapping) -> StageRecord:
    start, end = row["start_time_us"], row["end_time_us"]
    return StageRecord(
        run_id=row["run_id"],
        position=row["position"],
        plan=StagePlan(
            name=row["name"],
            kind=row["kind"],
            uses=row["uses"],
            parameters=json.loads(row["parameters_json"]),
            is_optional=row["is_optional"],
            input=row["input"],
            documents=tuple(json.loads(row["documents_json"])),
            selected_series=row["selected_series"],
            sop_instance_uids=tuple(json.loads(row["sop_instance_uids_json"])),
        ),
        series=row["series"],
        state=row["state"],
        attempts=row["attempts"],
        replica=row["replica"],
        start_time=clock.from_microseconds(start) if start is not None else None,
        end_time=clock.from_microseconds(end) if end is not None else None,
        outcome=StageOutcome(
            series=row["output_series"],
            instances=tuple(json.loads(row["outputs_json"])),
            finding_count=row["finding_count"],
            refusals=tuple(json_format.ParseDict(refusal, Refusal()) for refusal in json.loads(row["refusals_json"])),
            algorithm=row["algorithm"],
            report=row["report"],
            checks=tuple(json_format.ParseDict(check, ObjectCheck()) for check in json.loads(row["checks_json"])),
        ),
        error=row["error"],
    )


def plan_values(run_id: str, position: int, plan: StagePlan) -> dict[str, Any]:
    """The row of a stage that has not begun."""
    return {
        "run_id": run_id,
        "position": position,
        "name": plan.name,
        "kind": plan.kind,
        "uses": plan.uses,
        "parameters_json": json.dumps(dict(plan.parameters)),
        "is_optional": plan.is_optional,
        "input": plan.input,
        "documents_json": json.dumps(plan.documents),
        "selected_series": plan.selected_series,
        "sop_instance_uids_json": json.dumps(plan.sop_instance_uids),
        "series": "",
        "state": pipeline_pb2.STATE_PENDING,
        "attempts": 0,
    }


def outcome_values(outcome: StageOutcome) -> dict[str, Any]:
    """The columns of a stage that its outcome fills."""
    return {
        "output_series": outcome.series,
        "outputs_json": json.dumps(outcome.instances),
        "finding_count": outcome.finding_count,
        "refusals_json": json.dumps([json_format.MessageToDict(refusal) for refusal in outcome.refusals]),
        "algorithm": outcome.algorithm,
        "report": outcome.report,
        "checks_json": json.dumps([json_format.MessageToDict(check) for check in outcome.checks]),
    }
