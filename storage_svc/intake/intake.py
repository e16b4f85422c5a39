"""The service's side of the intake process: jobs out, outcomes back, and a new process when one dies."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imaging.errors import ImagingError, Unavailable
from imaging.telemetry.durations import Durations
from storage_svc.ingest.examine import Examined, Expected
from storage_svc.intake.arena import Slot
from storage_svc.intake.jobs import Done, ExamineJob, Job, KeepJob, Unpacker, packed

RESTART_SECONDS = 1.0
"""A process that lived shorter than this is not started again at once."""

_log = logging.getLogger(__name__)


class Intake:
    """Examines instances in the arena and makes objects of them, in a process of its own.

    Parameters
    ----------
    arena_descriptor
        The shared memory in which the instances lie.
    objects
        Folder of the objects; None if they are kept elsewhere and `keep` is not used.
    """

    def __init__(self, arena_descriptor: int, objects: Path | None) -> None:
        self._arena_descriptor = arena_descriptor
        self._objects = objects
        self._durations = Durations(
            "imaging.objectstore.operation.duration", "Time that operations of the object store took.", store="folder"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._started_at = 0.0
        self._number = 0
        self._unanswered: dict[int, asyncio.Future[Any]] = {}
        self._outgoing: list[Job] = []
        self._closed = False
        self._restart: asyncio.Task[None] | None = None

    @property
    def keeps(self) -> bool:
        """Whether objects can be made by `keep`."""
        return self._objects is not None

    async def start(self) -> None:
        """Start the process. It takes jobs at once and works on them when it is ready."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "storage_svc.intake.process"]
        command += [str(theirs.fileno()), str(self._arena_descriptor), str(os.getpid())]
        command += [str(self._objects)] if self._objects is not None else []
        root = str(Path(__file__).parents[2])
        try:
            with theirs:
                # Not in a helper thread: the process is to die with the thread that starts it (`death_signal`).
                self._process = subprocess.Popen(  # noqa: ASYNC220
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), self._arena_descriptor],
                    env={**os.environ, "PYTHONPATH": root},
                    start_new_session=True,
                )
            self._started_at = time.monotonic()
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_unix_connection(lambda: _Answers(self._settle, self._lost), sock=ours)
        except BaseException:
            ours.close()
            raise
        self._transport = transport
        if self._outgoing:
            self._flush()

    async def examine(self, slot: Slot, expected: Expected) -> Examined:
        """What the instance in the slot is, if it is sound and what was announced.

        Raises
        ------
        ImagingError
            As `storage_svc.ingest.examine.examine`; Unavailable if the process died over it.
        """
        examined: Examined = await self._ask(
            lambda number: ExamineJob(number, slot.start, slot.size_bytes, expected),
        )
        return examined

    async def keep(self, key: str, slot: Slot) -> None:
        """Make a durable object of the instance in the slot, as `ObjectStore.put`.

        Raises
        ------
        ImagingError
            As `ObjectStore.put`; Unavailable if the process died: the object may be there, and is swept then.
        """
        with self._durations.of("put"):
            await self._ask(lambda number: KeepJob(number, key, slot.start, slot.size_bytes))

    async def close(self) -> None:
        """End the process; nothing may be asked any more."""
        self._closed = True
        if self._restart is not None:
            self._restart.cancel()
            await asyncio.gather(self._restart, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)

    async def _ask(self, job: Callable[[int], Job]) -> Any:
        if self._closed or self._transport is None:
            raise _gone()
        self._number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._unanswered[self._number] = future
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(job(self._number))
        # The process works on the slot until it has answered, whether or not anybody still waits.
        return await asyncio.shield(future)

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing:
            jobs, self._outgoing = self._outgoing, []
            self._transport.write(packed(jobs))

    def _settle(self, done: Done) -> None:
        future = self._unanswered.pop(done.number, None)
        if future is None or future.done():
            return
        if done.error is None:
            future.set_result(done.result)
        elif isinstance(done.error, ImagingError):
            future.set_exception(done.error)
        else:
            _log.error("the intake process met a defect: %s", done.error)
            future.set_exception(done.error)

    def _lost(self) -> None:
        """The process is gone: all that it had is unanswered, and another takes its place."""
        self._transport = None
        unanswered, self._unanswered, self._outgoing = self._unanswered, {}, []
        for future in unanswered.values():
            if not future.done():
                future.set_exception(_gone())
        if self._closed or self._process is None:
            return
        _log.error("the intake process ended with code %s and is started again", _end(self._process))
        self._restart = asyncio.get_running_loop().create_task(self._start_again(), name="intake-restart")

    async def _start_again(self) -> None:
        """Until it succeeds: memory or descriptors that are missing now may be there a second later."""
        await asyncio.sleep(RESTART_SECONDS - (time.monotonic() - self._started_at))
        while True:
            try:
                await self.start()
                return
            except OSError as error:
                _log.error("the intake process cannot be started: %s", error.strerror)
            await asyncio.sleep(RESTART_SECONDS)


class _Answers(asyncio.Protocol):
    def __init__(self, settle: Callable[[Done], None], lost: Callable[[], None]) -> None:
        self._settle = settle
        self._lost = lost
        self._unpacker = Unpacker()

    def data_received(self, data: bytes) -> None:
        for done in self._unpacker.add(data):
            self._settle(done)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()


def _gone() -> Unavailable:
    return Unavailable(
        "The process that takes instances in is not running",
        hint="It is started again by itself: send the instance again.",
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; its socket is closed, so it is ending or dead."""
    try:
        return process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
