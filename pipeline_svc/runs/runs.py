"""The runs of this service: durable in its database, with a signal at every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection

from imaging.database import Database
from imaging.errors import FailedPrecondition, NotFound
from imaging.pipeline.v1 import pipeline_pb2
from imaging.stage.v1.stage_pb2 import Progress
from pipeline_svc.runs import changes as run_changes
from pipeline_svc.runs import queries as run_queries
from pipeline_svc.runs.board import RunBoard
from pipeline_svc.runs.changes import EndedRun
from pipeline_svc.runs.message import run_message
from pipeline_svc.runs.new_run import NewRun
from pipeline_svc.runs.record import RunRecord, StageOutcome, StagePlan, StageRecord, State

T = TypeVar("T")

LOOK_AGAIN_S = 1.0
"""A watched run is read again at least so often, also without a signal: another replica may carry it."""


class Runs:
    """Reads and changes runs. Every change is durable when its method comes back.

    Methods that serve the engine raise `RunEnded` when the run was ended by somebody else. These and those of the
    watcher raise what `on_duty` raises, `LeaseLost`, when another replica has the duty.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_duty: Callable[[Connection], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._on_duty = on_duty
        self._clock = clock
        self._board = RunBoard()

    async def get(self, run_id: str) -> RunRecord:
        """The run.

        Raises
        ------
        NotFound
            If it is not there.
        """
        run = await self._database.read(lambda connection: run_queries.get_run(connection, run_id))
        if run is None:
            raise NotFound(
                "There is no such run", where=f"runs/{run_id}", hint="`imaging runs list` gives their names."
            )
        return run

    async def page(
        self, study: str = "", states: Sequence[State] = (), before_number: int | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """Runs, newest first; those of `states` only, if any are given."""
        return await self._database.read(
            lambda connection: run_queries.list_runs(connection, study, states, before_number, limit)
        )

    async def unfinished(self) -> Sequence[str]:
        """Ids of the runs that have something left to do, oldest first."""
        return await self._database.read(run_queries.unfinished_run_ids)

    async def cursor(self) -> int:
        """The revision of storage's change log up to which everything was acted on."""
        return await self._database.read(run_queries.read_cursor)

    def message(self, run: RunRecord) -> pipeline_pb2.Run:
        """The run as the contract tells it, with the newest progress."""
        return run_message(run, self._board.progress(run.id))

    async def watch(self, run_id: str) -> AsyncGenerator[pipeline_pb2.Run]:
        """The run as it is, then at every change, until it has ended."""
        await self.get(run_id)
        last: pipeline_pb2.Run | None = None
        while True:
            changed = self._board.next_change(run_id)
            run = await self.get(run_id)
            message = self.message(run)
            if message != last:
                yield message
                last = message
            if not run.is_going:
                self._board.forget(run_id)
                return
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await changed.wait()
            except TimeoutError:
                continue

    async def create(self, new: NewRun) -> tuple[RunRecord, list[EndedRun]]:
        """The run of this study, manifest version and recipe, new or not, and the runs that it has ended."""

        def write(connection: Connection) -> tuple[RunRecord, list[EndedRun]]:
            run, is_new = run_changes.create_run(connection, new)
            return run, run_changes.supersede_older(connection, run, self._clock()) if is_new else []

        return self._tell(await self._database.write(write))

    async def create_and_advance(self, new: NewRun, revision: int) -> tuple[RunRecord, list[EndedRun]]:
        """As `create`, with the cursor in the same transaction: no change is acted on twice, and none is missed."""

        def write(connection: Connection) -> tuple[RunRecord, list[EndedRun]]:
            self._on_duty(connection)
            run_changes.advance_cursor(connection, revision)
            run, is_new = run_changes.create_run(connection, new)
            return run, run_changes.supersede_older(connection, run, self._clock()) if is_new else []

        return self._tell(await self._database.write(write))

    async def retire_and_advance(self, study: str, revision: int) -> list[EndedRun]:
        """End the runs of a deleted study; the cursor is advanced in the same transaction."""

        def write(connection: Connection) -> list[EndedRun]:
            self._on_duty(connection)
            run_changes.advance_cursor(connection, revision)
            return run_changes.retire_study(connection, study, revision, self._clock())

        return self._tell_ended(await self._database.write(write))

    async def retire_all(self) -> list[EndedRun]:
        """End the runs of a storage that is no more, and follow the change log of the new one from its beginning."""

        def write(connection: Connection) -> list[EndedRun]:
            self._on_duty(connection)
            run_changes.advance_cursor(connection, 0)
            return run_changes.retire_all(connection, self._clock())

        return self._tell_ended(await self._database.write(write))

    async def advance(self, revision: int) -> None:
        """There was nothing to act on up to `revision`."""

        def write(connection: Connection) -> None:
            self._on_duty(connection)
            run_changes.advance_cursor(connection, revision)

        await self._database.write(write)

    async def end(self, run_id: str, reason: str) -> list[EndedRun]:
        """End a run as CANCELLED from outside; nothing if it has ended already."""
        ended = await self._database.write(
            lambda connection: run_changes.end_run(connection, run_id, reason, self._clock())
        )
        return self._tell_ended([ended] if ended is not None else [])

    async def end_overdue(self, run_id: str, reason: str) -> list[EndedRun]:
        """As `end`, by the engine."""
        ended = await self._change(
            run_id, lambda connection: run_changes.end_run(connection, run_id, reason, self._clock())
        )
        return self._tell_ended([ended] if ended is not None else [])

    async def take_up_again(self, run_id: str) -> RunRecord:
        """The failed or cancelled run, PENDING again.

        Raises
        ------
        NotFound
            If it is not there.
        FailedPrecondition
            If it is not failed or cancelled, or superseded.
        """
        run = await self.get(run_id)
        if not await self._database.write(lambda connection: run_changes.take_up_again(connection, run_id)):
            state = pipeline_pb2.State.Name(run.state).removeprefix("STATE_")
            raise FailedPrecondition(
                f"Only the newest failed or cancelled run of a study can be taken up again; this one is {state}"
                + (f" and superseded by runs/{run.superseded_by}" if run.superseded_by else ""),
                where=run.name,
                hint="Start a new run of the study with CreateRun, or retry the run that supersedes it.",
            )
        self._board.tell_change(run_id)
        return await self.get(run_id)

    async def plan(self, run_id: str, recipe: tuple[str, int, str], stages: Sequence[StagePlan]) -> str:
        """Write down what the run will do; the name of the run that does the same already, else empty."""
        return await self._change(
            run_id, lambda connection: run_changes.record_plan(connection, run_id, recipe, stages)
        )

    async def begin_attempt(self, stage: StageRecord, series: str, replica: str) -> int:
        """The number of this attempt of the stage, counted from 1, at that replica of its service."""
        return await self._change(
            stage.run_id,
            lambda connection: run_changes.begin_attempt(
                connection, stage.run_id, stage.position, series, replica, self._clock()
            ),
        )

    async def end_stage(self, stage: StageRecord, state: State, outcome: StageOutcome, error: str = "") -> None:
        """Write down what became of the stage."""
        await self._change(
            stage.run_id,
            lambda connection: run_changes.end_stage(connection, stage, state, self._clock(), outcome, error),
        )

    async def finish(self, run_id: str, state: State, reason: str = "") -> None:
        """The run ends by itself."""
        await self._change(
            run_id, lambda connection: run_changes.finish_run(connection, run_id, state, reason, self._clock())
        )
        self._board.forget(run_id)

    def tell_progress(self, stage: StageRecord, progress: Progress) -> None:
        """A stage got on; not kept."""
        self._board.tell_progress(stage.run_id, stage.position, progress)

    async def _change(self, run_id: str, function: Callable[[Connection], T]) -> T:
        def write(connection: Connection) -> T:
            self._on_duty(connection)
            return function(connection)

        result = await self._database.write(write)
        self._board.tell_change(run_id)
        return result

    def _tell(self, created: tuple[RunRecord, list[EndedRun]]) -> tuple[RunRecord, list[EndedRun]]:
        self._tell_ended(created[1])
        return created

    def _tell_ended(self, ended: Iterable[EndedRun]) -> list[EndedRun]:
        told = [*ended]
        for one in told:
            self._board.forget(one.id)
        return told
