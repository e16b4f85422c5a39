"""What can be asked of the tables."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, or_, select

from pipeline_svc.runs.record import GOING, RunRecord, StageRecord, State, run_record
from pipeline_svc.schema import CURSOR, RUNS, STAGES


def get_run(connection: Connection, run_id: str) -> RunRecord | None:
    """The run of that id; None if there is none."""
    return _one(connection, RUNS.c.id == run_id)


def find_run(
    connection: Connection, study: str, manifest_version: int, asked_recipe: str, recipe: str
) -> RunRecord | None:
    """The run of a manifest version that answers the same question, or has the same recipe; None if there is none."""
    return _one(
        connection,
        RUNS.c.study == study,
        RUNS.c.manifest_version == manifest_version,
        RUNS.c.deleted_at_revision == 0,
        or_(RUNS.c.asked_recipe == asked_recipe, RUNS.c.recipe == recipe),
    )


def newer_run_id(connection: Connection, study: str, manifest_version: int) -> str:
    """Id of the first run of the next later manifest version that has one; empty if there is none."""
    found = connection.execute(
        select(RUNS.c.id)
        .where(RUNS.c.study == study, RUNS.c.manifest_version > manifest_version, RUNS.c.deleted_at_revision == 0)
        .order_by(RUNS.c.manifest_version, RUNS.c.number)
        .limit(1)
    ).scalar()
    return found or ""


def list_runs(
    connection: Connection, study: str, states: Sequence[State], before_number: int | None, limit: int
) -> list[RunRecord]:
    """Runs, newest first, at most `limit`, created before the run of that number."""
    conditions: list[ColumnElement[bool]] = []
    if study:
        conditions.append(RUNS.c.study == study)
    if states:
        conditions.append(RUNS.c.state.in_(states))
    if before_number is not None:
        conditions.append(RUNS.c.number < before_number)
    rows = (
        connection.execute(select(RUNS).where(*conditions).order_by(RUNS.c.number.desc()).limit(limit)).mappings().all()
    )
    stages = (
        connection.execute(
            select(STAGES).where(STAGES.c.run_id.in_([row["id"] for row in rows])).order_by(STAGES.c.position)
        )
        .mappings()
        .all()
    )
    return [run_record(row, [stage for stage in stages if stage["run_id"] == row["id"]]) for row in rows]


def unfinished_run_ids(connection: Connection) -> list[str]:
    """Ids of the runs that have something left to do, oldest first."""
    return [
        row.id for row in connection.execute(select(RUNS.c.id).where(RUNS.c.state.in_(GOING)).order_by(RUNS.c.number))
    ]


def runs_by_state(connection: Connection) -> dict[int, int]:
    """How many runs are in each state."""
    query = select(RUNS.c.state, func.count()).group_by(RUNS.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def oldest_unfinished_us(connection: Connection) -> int | None:
    """When the oldest run with something left to do was created, in microseconds since 1970; None without one."""
    return connection.execute(select(func.min(RUNS.c.create_time_us)).where(RUNS.c.state.in_(GOING))).scalar()


def stages_of(connection: Connection, run_id: str) -> tuple[StageRecord, ...]:
    """The stages of a run in order."""
    run = get_run(connection, run_id)
    return run.stages if run is not None else ()


def read_cursor(connection: Connection) -> int:
    """The revision up to which changes have been acted on; 0 at the very beginning."""
    return connection.execute(select(CURSOR.c.revision).where(CURSOR.c.id == 1)).scalar() or 0


def _one(connection: Connection, *conditions: ColumnElement[bool]) -> RunRecord | None:
    row = connection.execute(select(RUNS).where(*conditions).order_by(RUNS.c.number).limit(1)).mappings().first()
    if row is None:
        return None
    stages = (
        connection.execute(select(STAGES).where(STAGES.c.run_id == row["id"]).order_by(STAGES.c.position))
        .mappings()
        .all()
    )
    return run_record(row, stages)
