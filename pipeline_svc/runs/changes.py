"""Every way in which a run can change, each one transaction.

What the engine does to a run checks in the same transaction that the run still goes on (`RunEnded` otherwise): a user,
a newer manifest or a deletion may have ended it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, true, update
from sqlalchemy.exc import IntegrityError

from imaging.database import clock
from imaging.pipeline.v1 import pipeline_pb2
from pipeline_svc.runs.new_run import NewRun, new_run_id
from pipeline_svc.runs.queries import find_run, newer_run_id, stages_of
from pipeline_svc.runs.record import (
    GOING,
    RunRecord,
    StageOutcome,
    StagePlan,
    StageRecord,
    State,
    outcome_values,
    plan_values,
)
from pipeline_svc.schema import CURSOR, RUNS, STAGES


class RunEnded(Exception):
    """The run was ended by somebody else; there is nothing more to do for it."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A going run that was ended from outside, with the stages that a service may be working on."""

    id: str
    stages: tuple[StageRecord, ...]


def create_run(connection: Connection, new: NewRun) -> tuple[RunRecord, bool]:
    """The run of this study, manifest version and recipe, and whether it is new."""
    # One at a time, whichever replica: each sees the runs of other manifest versions that were created before.
    connection.execute(select(CURSOR.c.id).where(CURSOR.c.id == 1).with_for_update())
    there = find_run(connection, new.study, new.manifest_version, new.asked_recipe, new.recipe)
    if there is not None:
        return there, False
    run_id = new_run_id(connection, new)
    time_us = clock.to_microseconds(new.create_time)
    # Changes may be looked at late: a newer manifest version may have its run already.
    newer = newer_run_id(connection, new.study, new.manifest_version)
    state = pipeline_pb2.STATE_PENDING
    reason = new.reason
    if new.reason:
        state = pipeline_pb2.STATE_SKIPPED
    elif newer:
        state, reason = pipeline_pb2.STATE_CANCELLED, "superseded by a later manifest version before it began"
    connection.execute(
        RUNS.insert().values(
            id=run_id,
            study=new.study,
            manifest_version=new.manifest_version,
            asked_recipe=new.asked_recipe,
            recipe=new.recipe,
            recipe_version=new.recipe_version,
            recipe_source=new.recipe_source,
            state=state,
            reason=reason,
            superseded_by=newer,
            traceparent=new.traceparent,
            create_time_us=time_us,
            end_time_us=time_us if reason else None,
        )
    )
    created = find_run(connection, new.study, new.manifest_version, new.asked_recipe, new.recipe)
    assert created is not None  # inserted above, in the same transaction
    return created, True


def supersede_older(connection: Connection, run: RunRecord, now: datetime) -> list[EndedRun]:
    """Runs of older manifest versions name `run` as their successor; those that still went on are ended."""
    older = (
        (RUNS.c.study == run.study)
        & (RUNS.c.manifest_version < run.manifest_version)
        & (RUNS.c.deleted_at_revision == 0)
    )
    going = [row.id for row in connection.execute(select(RUNS.c.id).where(older, RUNS.c.state.in_(GOING)))]
    connection.execute(update(RUNS).where(older, RUNS.c.superseded_by == "").values(superseded_by=run.id))
    reason = f"superseded by manifest version {run.manifest_version} of the study"
    return [ended for run_id in going if (ended := end_run(connection, run_id, reason, now)) is not None]


def retire_study(connection: Connection, study: str, revision: int, now: datetime) -> list[EndedRun]:
    """The runs of a deleted study are ended and make room for runs of the same study sent again."""
    return _retire(connection, RUNS.c.study == study, "the study was deleted", revision, now)


def retire_all(connection: Connection, now: datetime) -> list[EndedRun]:
    """All runs are ended and make room: they belong to a storage that is no more."""
    newest = connection.execute(select(func.max(RUNS.c.number))).scalar() or 0  # negative: no revision of any log
    return _retire(connection, true(), "storage was set up anew", -newest, now)


def _retire(
    connection: Connection, which: ColumnElement[bool], reason: str, marker: int, now: datetime
) -> list[EndedRun]:
    present = which & (RUNS.c.deleted_at_revision == 0)
    going = [row.id for row in connection.execute(select(RUNS.c.id).where(present, RUNS.c.state.in_(GOING)))]
    ended = [end_run(connection, run_id, reason, now) for run_id in going]
    connection.execute(update(RUNS).where(present).values(deleted_at_revision=marker))
    return [one for one in ended if one is not None]


def end_run(connection: Connection, run_id: str, reason: str, now: datetime) -> EndedRun | None:
    """End a going run as CANCELLED from outside; None if it does not go on."""
    time_us = clock.to_microseconds(now)
    ended = connection.execute(
        update(RUNS)
        .where(RUNS.c.id == run_id, RUNS.c.state.in_(GOING))
        .values(state=pipeline_pb2.STATE_CANCELLED, reason=reason, end_time_us=time_us)
    )
    if not ended.rowcount:
        return None
    running = [stage for stage in stages_of(connection, run_id) if stage.state == pipeline_pb2.STATE_RUNNING]
    connection.execute(
        update(STAGES)
        .where(STAGES.c.run_id == run_id, STAGES.c.state == pipeline_pb2.STATE_RUNNING)
        .values(state=pipeline_pb2.STATE_CANCELLED, error=reason, end_time_us=time_us)
    )
    return EndedRun(run_id, tuple(running))


def take_up_again(connection: Connection, run_id: str) -> bool:
    """Set a failed or cancelled run and its failed stages back to PENDING; False if it is in another state."""
    changed = connection.execute(
        update(RUNS)
        .where(
            RUNS.c.id == run_id,
            RUNS.c.state.in_((pipeline_pb2.STATE_FAILED, pipeline_pb2.STATE_CANCELLED)),
            RUNS.c.superseded_by == "",
            RUNS.c.deleted_at_revision == 0,
        )
        .values(state=pipeline_pb2.STATE_PENDING, reason="", end_time_us=None)
    )
    if not changed.rowcount:
        return False
    # A stage that was skipped for want of its input gets another chance with it.
    again = (pipeline_pb2.STATE_FAILED, pipeline_pb2.STATE_CANCELLED, pipeline_pb2.STATE_SKIPPED)
    connection.execute(
        update(STAGES)
        .where(STAGES.c.run_id == run_id, STAGES.c.state.in_(again))
        .values(state=pipeline_pb2.STATE_PENDING, error="", end_time_us=None)
    )
    return True


def set_running(connection: Connection, run_id: str, **values: Any) -> None:
    """The guard of all that the engine does: the run is RUNNING from now on, or `RunEnded`."""
    changed = connection.execute(
        update(RUNS)
        .where(RUNS.c.id == run_id, RUNS.c.state.in_(GOING))
        .values(state=pipeline_pb2.STATE_RUNNING, **values)
    )
    if not changed.rowcount:
        raise RunEnded(run_id)


def record_plan(connection: Connection, run_id: str, recipe: tuple[str, int, str], stages: Sequence[StagePlan]) -> str:
    """Write down what a run will do. The `runs/{id}` that does the same already, if there is one; else empty.

    `recipe` is name, version and source of the recipe, which may be another than at creation: the first one whose
    selection found something.
    """
    name, version, source = recipe
    try:
        with connection.begin_nested():
            set_running(connection, run_id, recipe=name, recipe_version=version, recipe_source=source, is_planned=True)
    except IntegrityError:
        run = connection.execute(select(RUNS).where(RUNS.c.id == run_id)).one()
        other = find_run(connection, run.study, run.manifest_version, name, name)
        return other.name if other is not None else "another run"
    connection.execute(
        STAGES.insert(), [plan_values(run_id, position, plan) for position, plan in enumerate(stages, 1)]
    )
    return ""


def begin_attempt(connection: Connection, run_id: str, position: int, series: str, replica: str, now: datetime) -> int:
    """The number of this attempt of a stage, counted from 1, recorded before that replica of its service is called."""
    set_running(connection, run_id)
    here = (STAGES.c.run_id == run_id) & (STAGES.c.position == position)
    stage = connection.execute(select(STAGES.c.attempts, STAGES.c.start_time_us).where(here)).one()
    connection.execute(
        update(STAGES)
        .where(here)
        .values(
            state=pipeline_pb2.STATE_RUNNING,
            attempts=stage.attempts + 1,
            series=series,
            replica=replica,
            start_time_us=stage.start_time_us if stage.start_time_us is not None else clock.to_microseconds(now),
        )
    )
    return int(stage.attempts) + 1


def end_stage(
    connection: Connection, stage: StageRecord, state: State, now: datetime, outcome: StageOutcome, error: str
) -> None:
    """Write down what became of a stage; the report of a run is that of its last report stage."""
    set_running(connection, stage.run_id, **({"report": outcome.report} if outcome.report else {}))
    connection.execute(
        update(STAGES)
        .where(STAGES.c.run_id == stage.run_id, STAGES.c.position == stage.position)
        .values(state=state, error=error, end_time_us=clock.to_microseconds(now), **outcome_values(outcome))
    )


def finish_run(connection: Connection, run_id: str, state: State, reason: str, now: datetime) -> None:
    """The run ends by itself: SUCCEEDED, FAILED or SKIPPED."""
    set_running(connection, run_id)
    connection.execute(
        update(RUNS)
        .where(RUNS.c.id == run_id)
        .values(state=state, reason=reason, end_time_us=clock.to_microseconds(now))
    )


def advance_cursor(connection: Connection, revision: int) -> None:
    """All changes up to `revision` have been acted on, in this transaction or before."""
    connection.execute(update(CURSOR).where(CURSOR.c.id == 1).values(revision=revision))
