"""One stage: called, called again while its service is away or full, until it has an outcome or a reason why not.

Every call has the same request id, so that it attaches to work that goes on, or gets the result that is there; and a
higher attempt number, so that a zombie of an earlier attempt can store nothing more. Of several replicas of the service
the one that was asked last is asked first, in the next life of the run too; another one if that does not do it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from imaging.errors import (
    Cancelled,
    DeadlineExceeded,
    ImagingError,
    Internal,
    Overloaded,
    StaleAttempt,
    Unavailable,
)
from imaging.rpc.tracing import context_of
from imaging.stage.v1.stage_pb2 import Progress
from pipeline_svc.recipes.stage_spec import Kind
from pipeline_svc.runs.record import StageOutcome, StageRecord
from pipeline_svc.stages.stage_service import StageService, StageTask

_log = logging.getLogger(__name__)

WORTH_WAITING = (Unavailable, Overloaded, Cancelled, StaleAttempt)
"""Errors that say nothing about the request. CANCELLED comes from a service that shuts down, or whose orphan timer
ended the work: a cancel of the run itself ends this task and never comes here."""


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How a stage is called again."""

    first_delay: timedelta = timedelta(milliseconds=200)
    longest_delay: timedelta = timedelta(seconds=5)
    """The delay doubles from the first to this one."""

    silence: timedelta = timedelta(seconds=30)
    """A call without any message for so long is given up and made again; services send progress every 10 s."""

    unforeseen_attempts: int = 3
    """Calls in all that may end with an error which could be a defect as well as an accident: INTERNAL without a reason
    of its own, or a deadline of the service."""


class StageCalls:
    """Calls the services of the stages."""

    def __init__(self, services: Mapping[Kind, StageService], policy: CallPolicy | None = None) -> None:
        self._services = services
        self._policy = policy or CallPolicy()

    async def perform(
        self,
        stage: StageRecord,
        begin: Callable[[str], Awaitable[StageTask]],
        tell_progress: Callable[[Progress], None],
        *,
        remaining_s: Callable[[], float],
    ) -> StageOutcome:
        """The outcome of a stage.

        Parameters
        ----------
        stage
            As it is kept.
        begin
            Records a new attempt at a replica of the service and gives its task.
        tell_progress
            Gets each progress.
        remaining_s
            Seconds that the run has left; the caller ends this task when there are none.

        Raises
        ------
        ImagingError
            An error that would come again.
        """
        unforeseen = failures = 0
        service = self._services[stage.plan.kind]
        replica = stage.replica or await service.choose()
        while True:
            task = await begin(replica)
            got_on = False

            def tell(progress: Progress) -> None:
                nonlocal got_on
                got_on = True
                tell_progress(progress)

            try:
                return await self._call_once(task, tell, remaining_s())
            except ImagingError as error:
                if type(error) is Internal or isinstance(error, DeadlineExceeded):
                    unforeseen += 1
                    if unforeseen >= self._policy.unforeseen_attempts:
                        raise
                elif not isinstance(error, WORTH_WAITING):
                    raise
                failures = 1 if got_on else failures + 1
                delay = self._delay_s(failures, error)
                _log.warning(
                    "stage interrupted, it is called again",
                    extra={
                        "run": task.run.name,
                        "stage": task.stage.plan.name,
                        "attempt": task.context.attempt,
                        "error": error.text,
                        "delay_s": round(delay, 1),
                    },
                )
                tell_progress(Progress(message=f"waiting for {_service_name(task)}: {error.what}"))
                await asyncio.sleep(delay)
                if not got_on:  # else it may still be at it: the connection broke
                    replica = await service.choose(other_than=replica)

    async def cancel(self, stages: Iterable[StageRecord]) -> None:
        """End the work of stages at their services. A service that does not answer ends it by its orphan timer."""
        await asyncio.gather(*(self._cancel(stage) for stage in stages))

    async def _cancel(self, stage: StageRecord) -> None:
        try:
            await self._services[stage.plan.kind].cancel(stage.request_id, stage.replica)
        except ImagingError as error:
            _log.warning(
                "stage not cancelled at its service; its orphan timer will end it",
                extra={"request_id": stage.request_id, "error": error.text},
            )

    def _delay_s(self, failures: int, error: ImagingError) -> float:
        longest = self._policy.longest_delay.total_seconds()
        delay = min(self._policy.first_delay.total_seconds() * 2.0 ** min(failures - 1, 30), longest)
        return max(delay, min(error.retry_after_seconds, longest)) if isinstance(error, Overloaded) else delay

    async def _call_once(
        self, task: StageTask, tell_progress: Callable[[Progress], None], timeout_s: float
    ) -> StageOutcome:
        plan = task.stage.plan
        with trace.get_tracer("pipeline_svc").start_as_current_span(
            f"{plan.kind} {plan.uses}",
            context=context_of(task.run.traceparent),
            attributes={
                "imaging.run": task.run.name,
                "imaging.stage": plan.name,
                "imaging.request_id": task.context.request_id,
                "imaging.attempt": task.context.attempt,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                # A little more than the run has: what ends it is the run's own deadline, with its own reason.
                answers = self._services[plan.kind].call(task, timeout_s + 10)
                return await self._read(answers, tell_progress, task)
            except ImagingError as error:
                span.set_attribute("error.type", error.reason)
                span.set_status(Status(StatusCode.ERROR, error.reason))
                raise

    async def _read(self, answers: Any, tell_progress: Callable[[Progress], None], task: StageTask) -> StageOutcome:
        silence_s = self._policy.silence.total_seconds()
        async with aclosing(answers):
            stream: AsyncIterator[Progress | StageOutcome] = aiter(answers)
            while True:
                try:
                    async with asyncio.timeout(silence_s):
                        item = await anext(stream)
                except TimeoutError:
                    raise Unavailable(
                        f"no sign of life from {_service_name(task)} for {silence_s:g} s", where=task.stage.plan.name
                    ) from None
                except StopAsyncIteration:
                    raise Unavailable(
                        f"{_service_name(task)} ended the stream without a result", where=task.stage.plan.name
                    ) from None
                if isinstance(item, StageOutcome):
                    return item
                tell_progress(item)


def _service_name(task: StageTask) -> str:
    names: Mapping[Kind, str] = {
        "process": "processing",
        "analyze": "analysis",
        "report": "reporting",
        "send": "the gateway",
    }
    return names[task.stage.plan.kind]
