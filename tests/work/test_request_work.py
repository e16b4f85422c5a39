"""Work by request id, over its whole life: begun, attached to, orphaned, cancelled, drained."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import Cancelled, InvalidArgument, MeasurementRefused, Unavailable
from imaging.stage.v1.stage_pb2 import Progress
from imaging.work import Report, RequestWork

SOON = timedelta(milliseconds=20)
LONG = timedelta(seconds=30)


def make_work(
    *, orphan_timeout: timedelta = LONG, heartbeat: timedelta = SOON, keep_results: int = 8
) -> RequestWork[str]:
    return RequestWork(
        orphan_timeout=orphan_timeout,
        heartbeat=heartbeat,
        keep_results=keep_results,
        progress_interval=timedelta(milliseconds=1),
    )


async def last(items: AsyncIterator[Progress | str]) -> Progress | str:
    return [item async for item in items][-1]


class Job:
    """Work that counts how often it was begun, and ends when it is let."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.running = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, report: Report) -> str:
        self.begun += 1
        self.running.set()
        report(1, 2, "slices", "reading")
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return f"result {self.begun}"


async def test_the_last_item_is_the_result() -> None:
    async def start(report: Report) -> str:
        return "done"

    items = [item async for item in make_work().attach("r", start)]
    assert items[-1] == "done"
    assert all(isinstance(item, Progress) for item in items[:-1])


async def test_a_second_call_attaches_and_both_get_the_one_result() -> None:
    work, job = make_work(), Job()
    callers = [asyncio.create_task(last(work.attach("r", job))) for _ in range(5)]
    await job.running.wait()
    job.may_end.set()
    assert await asyncio.gather(*callers) == ["result 1"] * 5
    assert job.begun == 1


async def test_a_later_call_gets_the_kept_result_without_doing_it_again() -> None:
    work, job = make_work(), Job()
    job.may_end.set()
    assert await last(work.attach("r", job)) == "result 1"
    assert [item async for item in work.attach("r", job)] == ["result 1"]


async def test_only_so_many_results_are_kept() -> None:
    work, job = make_work(keep_results=2), Job()
    job.may_end.set()
    for request_id in "abc":
        await last(work.attach(request_id, job))
    await last(work.attach("c", job))
    assert job.begun == 3
    await last(work.attach("a", job))
    assert job.begun == 4


async def test_progress_comes_from_a_thread_and_repeats_with_the_heartbeat() -> None:
    work = make_work()
    may_end = threading.Event()

    def compute(report: Report) -> str:
        report(3, 10, "slices", "filtering")
        may_end.wait(10)
        return "done"

    seen: list[int] = []
    async for item in work.attach("r", lambda report: asyncio.to_thread(compute, report)):
        if isinstance(item, Progress):
            seen.append(item.done)
            if seen.count(3) == 3:
                may_end.set()
    assert seen.count(3) >= 3


async def test_a_lost_caller_does_not_end_the_work() -> None:
    work, job = make_work(), Job()
    caller = asyncio.create_task(last(work.attach("r", job)))
    await job.running.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    job.may_end.set()
    assert await last(work.attach("r", job)) == "result 1"
    assert job.cancelled == 0


async def test_work_without_any_caller_ends_after_the_orphan_time() -> None:
    work, job = make_work(orphan_timeout=SOON), Job()
    caller = asyncio.create_task(last(work.attach("r", job)))
    await job.running.wait()
    caller.cancel()
    await work.drain(LONG)  # comes back when the work has ended
    assert job.cancelled == 1


async def test_a_cancel_is_seen_by_every_caller_and_the_request_can_be_sent_again() -> None:
    work, job = make_work(), Job()
    callers = [asyncio.create_task(last(work.attach("r", job))) for _ in range(3)]
    await job.running.wait()
    work.cancel("r")
    for caller in callers:
        with pytest.raises(Cancelled, match="a user asked for it"):
            await caller
    job.may_end.set()
    assert await last(work.attach("r", job)) == "result 2"


async def test_a_thread_learns_of_the_cancel_at_its_next_report() -> None:
    work = make_work()
    reached, go_on, stopped = threading.Event(), threading.Event(), threading.Event()

    def compute(report: Report) -> str:
        report(0, 2, "slices", "first half")
        reached.set()
        go_on.wait(10)
        try:
            report(1, 2, "slices", "second half")
        except Cancelled:
            stopped.set()
            raise
        return "done"

    caller = asyncio.create_task(last(work.attach("r", lambda report: asyncio.to_thread(compute, report))))
    await asyncio.to_thread(reached.wait, 10)
    work.cancel("r")
    with pytest.raises(Cancelled):
        await caller
    go_on.set()
    assert await asyncio.to_thread(stopped.wait, 10)


async def test_a_request_sent_again_waits_until_its_cancelled_work_has_wound_up() -> None:
    work = make_work()
    begun, winding_up, may_wind_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
    at_a_time: list[int] = []
    running = 0

    async def start(report: Report) -> str:
        nonlocal running
        running += 1
        at_a_time.append(running)
        begun.set()
        try:
            if len(at_a_time) == 1:
                await asyncio.Event().wait()
        finally:
            if len(at_a_time) == 1:
                winding_up.set()
                await may_wind_up.wait()
            running -= 1
        return "done"

    first = asyncio.create_task(last(work.attach("r", start)))
    await begun.wait()
    work.cancel("r")
    await winding_up.wait()
    second = asyncio.create_task(last(work.attach("r", start)))
    await asyncio.sleep(0)
    may_wind_up.set()
    with pytest.raises(Cancelled):
        await first
    assert await second == "done"
    assert at_a_time == [1, 1]


async def test_an_error_reaches_every_caller_and_is_not_kept() -> None:
    work = make_work()
    begun = 0

    async def start(report: Report) -> str:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise MeasurementRefused("No lung")
        return "done"

    callers = [asyncio.create_task(last(work.attach("r", start))) for _ in range(2)]
    for caller in callers:
        with pytest.raises(MeasurementRefused, match="No lung"):
            await caller
    assert await last(work.attach("r", start)) == "done"


async def test_draining_refuses_new_work_but_lets_the_running_end() -> None:
    work, job = make_work(), Job()
    caller = asyncio.create_task(last(work.attach("r", job)))
    await job.running.wait()
    drained = asyncio.create_task(work.drain(LONG))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="shutting down"):
        await last(work.attach("other", job))
    job.may_end.set()
    await drained
    assert await caller == "result 1"


async def test_draining_cancels_what_does_not_end_in_time() -> None:
    work, job = make_work(), Job()
    caller = asyncio.create_task(last(work.attach("r", job)))
    await job.running.wait()
    await work.drain(SOON)
    with pytest.raises(Cancelled, match="shutting down"):
        await caller


async def test_an_empty_request_id_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="request_id"):
        await last(make_work().attach("", Job()))


async def test_cancelling_an_unknown_request_is_no_error() -> None:
    make_work().cancel("never heard of")


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["call", "lose", "pause", "end"]), max_size=14))
def test_whatever_callers_do_the_work_is_done_once(steps: list[str]) -> None:
    async def scenario() -> None:
        work, job = make_work(), Job()
        callers: list[asyncio.Task[Progress | str]] = [asyncio.create_task(last(work.attach("r", job)))]
        await job.running.wait()
        for step in steps:
            if step == "call":
                callers.append(asyncio.create_task(last(work.attach("r", job))))
            elif step == "lose" and callers:
                callers.pop().cancel()
            elif step == "pause":
                await asyncio.sleep(0)
            elif step == "end":
                job.may_end.set()
        job.may_end.set()
        assert await last(work.attach("r", job)) == "result 1"
        assert await asyncio.gather(*callers) == ["result 1"] * len(callers)
        assert (job.begun, job.cancelled) == (1, 0)

    asyncio.run(scenario())
