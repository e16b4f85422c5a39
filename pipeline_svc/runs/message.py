"""A run as the contract tells it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from imaging.pipeline.v1 import pipeline_pb2
from imaging.stage.v1.stage_pb2 import Progress
from pipeline_svc.runs.record import RunRecord, StageRecord


def run_message(run: RunRecord, progress: Mapping[int, Progress]) -> pipeline_pb2.Run:
    """The run as the contract tells it; `progress` is the newest of each stage, by position."""
    return pipeline_pb2.Run(
        name=run.name,
        study=run.study,
        manifest_version=run.manifest_version,
        recipe=run.recipe,
        recipe_version=run.recipe_version,
        state=run.state,
        stages=[_stage_message(stage, progress.get(stage.position)) for stage in run.stages],
        reason=run.reason,
        trace_id=run.trace_id,
        create_time=timestamp(run.create_time),
        end_time=timestamp(run.end_time),
        superseded_by=f"runs/{run.superseded_by}" if run.superseded_by else "",
        report=run.report,
    )


def _stage_message(stage: StageRecord, progress: Progress | None) -> pipeline_pb2.Stage:
    return pipeline_pb2.Stage(
        name=stage.plan.name,
        kind=stage.plan.kind,
        uses=stage.plan.uses,
        state=stage.state,
        attempts=stage.attempts,
        start_time=timestamp(stage.start_time),
        end_time=timestamp(stage.end_time),
        series=stage.series,
        outputs=stage.outcome.instances,
        finding_count=stage.outcome.finding_count,
        error=stage.error,
        refusals=stage.outcome.refusals,
        progress=progress,
        request_id=stage.request_id,
        algorithm=stage.outcome.algorithm,
        report=stage.outcome.report,
        checks=stage.outcome.checks,
    )


def timestamp(time: datetime | None) -> Timestamp | None:
    """The Protobuf form of a time; None for none."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message
