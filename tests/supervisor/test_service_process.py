"""One supervised child process, for real."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from imaging.errors import Unavailable
from imaging.rpc.connection_settings import ChannelSettings
from imaging.settings import Settings
from imaging.supervisor.addresses import service_addresses
from imaging.supervisor.backoff import Backoff
from imaging.supervisor.event import Event, EventKind
from imaging.supervisor.service_log import ServiceLog
from imaging.supervisor.service_process import ServiceProcess

SMALL_SERVICE = Path(__file__).parent / "small_service.py"


class Started:
    """A service process with the events that it told."""

    def __init__(self, tmp_path: Path, **environment: str) -> None:
        self.events: list[Event] = []
        self.log = ServiceLog(tmp_path / "logs" / "small.log")
        address = service_addresses(Settings(), 0)["storage"]
        self.process = ServiceProcess(
            "small",
            address,
            environment={**os.environ, **environment},
            log=self.log,
            channel=ChannelSettings(),
            on_event=self.events.append,
            command=[sys.executable, str(SMALL_SERVICE), address],
            backoff=Backoff(first=timedelta(milliseconds=20), longest=timedelta(milliseconds=50)),
        )

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]

    async def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the condition is on a child process, which sets no event here
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Started]]]:
    started: list[Started] = []

    async def begin(**environment: str) -> Started:
        service = Started(tmp_path, **environment)
        started.append(service)
        service.process.start()
        return service

    yield begin
    for service in started:
        await service.process.kill()


async def test_service_that_was_ended_before_it_was_ready_is_never_told_as_ready(
    start: Callable[..., Awaitable[Started]],
) -> None:
    service = await start()
    waiting = asyncio.create_task(service.process.wait_ready())
    await service.until(lambda: service.process.pid is not None)
    await service.process.drain(timedelta(seconds=10))
    with pytest.raises(Unavailable, match="before it was ready"):
        await waiting


async def test_service_is_ready_when_its_health_says_so(start: Callable[..., Awaitable[Started]]) -> None:
    service = await start()
    async with asyncio.timeout(30):
        await service.process.wait_ready()
    assert service.kinds() == [EventKind.STARTING, EventKind.READY]
    assert service.process.pid is not None


async def test_killed_service_is_started_again(start: Callable[..., Awaitable[Started]]) -> None:
    service = await start()
    await service.process.wait_ready()
    first = service.process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await service.until(lambda: service.kinds().count(EventKind.READY) == 2)
    assert service.process.pid != first
    died = next(event for event in service.events if event.kind is EventKind.DIED)
    assert "SIGKILL" in died.text


async def test_drained_service_ends_by_itself(start: Callable[..., Awaitable[Started]], tmp_path: Path) -> None:
    marker = tmp_path / "drained"
    service = await start(SMALL_DRAIN_MARKER=str(marker))
    await service.process.wait_ready()
    await service.process.drain(timedelta(seconds=30))
    assert marker.read_text() == "drained"
    assert service.kinds()[-2:] == [EventKind.DRAINING, EventKind.STOPPED]
    assert service.process.pid is None


async def test_service_that_does_not_drain_is_killed(start: Callable[..., Awaitable[Started]]) -> None:
    service = await start(SMALL_DRAINS="never")
    await service.process.wait_ready()
    began = time.monotonic()
    await service.process.drain(timedelta(milliseconds=300))
    assert time.monotonic() - began < 10
    assert service.process.pid is None
    assert any("did not end" in event.text for event in service.events)


async def test_wrong_settings_are_given_up_at_once(start: Callable[..., Awaitable[Started]]) -> None:
    service = await start(SMALL_FAILS="2")
    with pytest.raises(Unavailable, match="what it was told to meet"):
        await service.process.wait_ready()
    assert service.process.starts == 1


async def test_service_that_never_comes_up_is_given_up(start: Callable[..., Awaitable[Started]]) -> None:
    service = await start(SMALL_FAILS="70")
    with pytest.raises(Unavailable, match="what it was told to meet"):
        await service.process.wait_ready()
    assert service.process.starts == 5
    assert EventKind.CRASH_LOOP in service.kinds()
    told = next(event for event in service.events if event.kind is EventKind.CRASH_LOOP)
    assert "what it was told to meet" in told.text
    assert str(service.log.path) in told.text


async def test_log_lines_are_kept_and_errors_are_told(start: Callable[..., Awaitable[Started]]) -> None:
    service = await start(SMALL_FAILS="2")
    with pytest.raises(Unavailable):
        await service.process.wait_ready()
    assert '"the service met what it was told to meet"' in service.log.path.read_text()
    assert EventKind.LOGGED_ERROR in service.kinds()


def test_child_dies_with_its_killed_parent(tmp_path: Path) -> None:
    child_pid_file = tmp_path / "pid"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time, pathlib\n"
            f"child = subprocess.Popen([sys.executable, {str(SMALL_SERVICE)!r}, '127.0.0.1:0'],"
            " stderr=subprocess.PIPE)\n"
            "child.stderr.readline()\n"
            f"pathlib.Path({str(child_pid_file)!r}).write_text(str(child.pid))\n"
            "time.sleep(60)\n",
        ]
    )
    try:
        deadline = time.monotonic() + 30
        while not child_pid_file.exists() or not child_pid_file.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child = psutil.Process(int(child_pid_file.read_text()))
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive
