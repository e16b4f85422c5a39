"""The intake process: takes jobs from its socket, examines instances and writes objects, many at a time.

Started as `python -m storage_svc.intake.process SOCKET_FD ARENA_FD PARENT_PID [OBJECTS_FOLDER]`. One thread: while it
waits for the disk, the next jobs gather, and share the next sync.
"""

from __future__ import annotations

import mmap
import select
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from imaging.errors import ImagingError
from imaging.objectstore.folder import FolderObjectStore
from imaging.supervisor.allocator import give_memory_back
from imaging.supervisor.death_signal import die_with_parent
from storage_svc.ingest.examine import Examined, examine, with_file_meta
from storage_svc.intake.jobs import Done, ExamineJob, KeepJob, Unpacker, packed

J = TypeVar("J")

EXAMINED_AT_ONCE = 24
"""Instances examined before the service hears of them and objects are written: as many share a commit later."""

KEPT_AT_ONCE = 32
"""Objects written and synced together."""

_RECEIVED_BYTES = 1 << 20


class IntakeProcess:
    """Serves one socket until it closes."""

    def __init__(self, connection: socket.socket, arena: memoryview, store: FolderObjectStore | None) -> None:
        self._connection = connection
        self._arena = arena
        self._store = store
        self._to_examine: deque[ExamineJob] = deque()
        self._to_keep: deque[KeepJob] = deque()
        self._unpacker = Unpacker()

    def run(self) -> None:
        """Work until the service closes its end."""
        while self._receive():
            if self._to_examine:
                self._answer([self._examine(job) for job in _some(self._to_examine, EXAMINED_AT_ONCE)])
            if self._to_keep:
                self._answer(self._keep(_some(self._to_keep, KEPT_AT_ONCE)))

    def _receive(self) -> bool:
        """Take what has come; waits only when there is nothing to do. False at the end."""
        idle = not self._to_examine and not self._to_keep
        while idle or select.select([self._connection], [], [], 0)[0]:
            received = self._connection.recv(_RECEIVED_BYTES)
            if not received:
                return False
            for job in self._unpacker.add(received):
                (self._to_examine if isinstance(job, ExamineJob) else self._to_keep).append(job)
            idle = not self._to_examine and not self._to_keep
        return True

    def _examine(self, job: ExamineJob) -> Done:
        try:
            return Done(job.number, self._examined(job), None)
        except ImagingError as error:
            return Done(job.number, None, error)
        except Exception as error:  # noqa: BLE001 - told to the service, which logs it as a defect
            return Done(job.number, None, RuntimeError(_without_values(error)))

    def _examined(self, job: ExamineJob) -> Examined:
        # Bytes, not a view: the checksum takes nothing else, and the scanner is fastest on them.
        content = bytes(self._arena[job.start : job.start + job.size_bytes])
        if not job.expected.headerless_transfer_syntax_uid:
            return examine(content, job.expected)
        content, prefix = with_file_meta(content, job.expected)
        start = job.start - len(prefix)  # the service left room for it
        self._arena[start : job.start] = prefix
        return examine(content, job.expected)._replace(prefix_bytes=len(prefix))

    def _keep(self, jobs: Sequence[KeepJob]) -> list[Done]:
        assert self._store is not None
        views = [(job.key, self._arena[job.start : job.start + job.size_bytes]) for job in jobs]
        errors = self._store.put_many(views)
        return [Done(job.number, None, error) for job, error in zip(jobs, errors, strict=True)]

    def _answer(self, done: Sequence[Done]) -> None:
        self._connection.sendall(packed(done))


def _some(jobs: deque[J], most: int) -> list[J]:
    return [jobs.popleft() for _ in range(min(most, len(jobs)))]


def _without_values(error: Exception) -> str:
    """Where a defect is; what it says may quote the instance."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"


def main(arguments: Sequence[str]) -> None:
    """Serve the socket that was handed down."""
    descriptor, arena_descriptor, parent = (int(argument) for argument in arguments[:3])
    give_memory_back()
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the service's to handle
    arena = memoryview(mmap.mmap(arena_descriptor, 0))
    store = FolderObjectStore(Path(arguments[3]), keep_unfinished=timedelta.max) if len(arguments) > 3 else None
    with socket.socket(fileno=descriptor) as connection:
        IntakeProcess(connection, arena, store).run()


if __name__ == "__main__":
    main(sys.argv[1:])
