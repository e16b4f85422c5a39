"""A stage is called again where that may help, and only there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from imaging.errors import (
    Cancelled,
    DeadlineExceeded,
    ImagingError,
    Internal,
    InvalidArgument,
    ModelFailed,
    NotFound,
    Overloaded,
    StaleAttempt,
    Unavailable,
)
from imaging.pipeline.v1 import pipeline_pb2
from imaging.stage.v1.stage_pb2 import Progress, StageContext
from pipeline_svc.runs.record import RunRecord, StageOutcome, StagePlan, StageRecord
from pipeline_svc.stages.stage_call import CallPolicy, StageCalls
from pipeline_svc.stages.stage_service import StageTask

POLICY = CallPolicy(timedelta(milliseconds=1), timedelta(milliseconds=4), timedelta(milliseconds=50))
OUTCOME = StageOutcome(finding_count=3)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
PLAN = StagePlan("1-x", "analyze", "x", {}, False, "", (), "studies/1/series/1", ())
STAGE = StageRecord("r", 1, PLAN, "", pipeline_pb2.STATE_PENDING, 0, "", None, None, StageOutcome(), "")
RUN = RunRecord(
    "r", 1, "studies/1", 1, "", "x", 1, "", pipeline_pb2.STATE_RUNNING, True, "", f"00-{'a' * 32}-{'b' * 16}-00",
    NOW, None, "", "",
)  # fmt: skip


class ListedService:
    """A stage service that answers its n-th call with the n-th script: progress, an error, silence or an outcome."""

    def __init__(self, *scripts: list[Progress | ImagingError | StageOutcome | None]) -> None:
        self._scripts = iter(scripts)
        self.attempts: list[int] = []
        self.replicas: list[str] = []
        self.cancelled: list[str] = []

    async def choose(self, other_than: str = "") -> str:
        return "b:1" if other_than == "a:1" else "a:1"

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        self.replicas.append(task.replica)
        self.attempts.append(task.context.attempt)
        for item in next(self._scripts):
            if item is None:
                await asyncio.Event().wait()
            elif isinstance(item, ImagingError):
                raise item
            else:
                yield item

    async def cancel(self, request_id: str, replica: str) -> None:
        self.cancelled.append(request_id)
        raise Unavailable("away")


async def perform(
    service: ListedService, tell: Callable[[Progress], None] = lambda _: None, stage: StageRecord = STAGE
) -> StageOutcome:
    attempts = iter(range(1, 100))

    async def begin(replica: str) -> StageTask:
        return StageTask(StageContext(attempt=next(attempts)), RUN, stage, replica, "", ())

    return await StageCalls({"analyze": service}, POLICY).perform(stage, begin, tell, remaining_s=lambda: 60)


@pytest.mark.parametrize(
    "error",
    [Unavailable("away"), Overloaded("full", retry_after_seconds=0.001), Cancelled("draining"), StaleAttempt("old")],
)
async def test_what_says_nothing_about_the_request_is_waited_out(error: ImagingError) -> None:
    service = ListedService(*[[error]] * 8, [OUTCOME])
    assert await perform(service) == OUTCOME
    assert service.attempts == list(range(1, 10))


@pytest.mark.parametrize("error", [InvalidArgument("wrong"), NotFound("gone"), ModelFailed("raised")])
async def test_what_would_come_again_fails_at_once(error: ImagingError) -> None:
    service = ListedService([error])
    with pytest.raises(type(error)):
        await perform(service)
    assert service.attempts == [1]


@pytest.mark.parametrize("error", [Internal("defect or accident"), DeadlineExceeded("too slow")])
async def test_what_may_be_an_accident_gets_three_calls(error: ImagingError) -> None:
    service = ListedService([error], [error], [OUTCOME])
    assert await perform(service) == OUTCOME
    service = ListedService([error], [error], [error])
    with pytest.raises(type(error)):
        await perform(service)


async def test_a_service_that_falls_silent_is_called_again() -> None:
    service = ListedService([Progress(done=1), None], [OUTCOME])
    assert await perform(service) == OUTCOME


async def test_a_stream_that_ends_without_a_result_is_called_again() -> None:
    service = ListedService([Progress(done=1)], [OUTCOME])
    assert await perform(service) == OUTCOME


async def test_progress_tells_what_is_waited_for() -> None:
    told: list[Progress] = []
    await perform(ListedService([Progress(done=1)], [Unavailable("no answer")], [OUTCOME]), told.append)
    assert told[0].done == 1
    assert "waiting for analysis: no answer" in [progress.message for progress in told]


async def test_a_cancel_that_does_not_get_through_is_no_error() -> None:
    service = ListedService()
    await StageCalls({"analyze": service}, POLICY).cancel([STAGE])
    assert service.cancelled == ["r.1-x"]


async def test_a_replica_that_does_not_take_the_work_is_left_for_another() -> None:
    service = ListedService([Unavailable("draining")], [Unavailable("away")], [OUTCOME])
    await perform(service)
    assert service.replicas == ["a:1", "b:1", "a:1"]


async def test_a_replica_that_has_begun_is_asked_again_when_the_connection_breaks() -> None:
    service = ListedService([Progress(done=1), Unavailable("broken")], [Unavailable("gone")], [OUTCOME])
    await perform(service)
    assert service.replicas == ["a:1", "a:1", "b:1"]


async def test_the_replica_that_was_asked_in_an_earlier_life_of_the_run_is_asked_first() -> None:
    service = ListedService([OUTCOME])
    await perform(service, stage=replace(STAGE, replica="c:1"))
    assert service.replicas == ["c:1"]
