"""What both sides of a comparison can do, and a server process with its processor time and memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psutil

from benchmarks.work import Series


class Side(Protocol):
    """One archive, running. Every method returns when the answer is whole."""

    name: str

    @property
    def process(self) -> ServerProcess:
        """Its server."""

    def store(self, files: Sequence[bytes | Path], clients: int) -> None:
        """Store files by so many clients at once; each file is acknowledged by the server."""

    def frames(self, series: Series, clients: int) -> int:
        """Read all frames of a series by so many clients at once; the bytes of their pixels."""

    def metadata(self, series: Series) -> int:
        """Read the DICOM JSON model of a series; its bytes."""

    def restart(self) -> None:
        """End the server and start it again on the same data."""

    def close(self) -> None:
        """End the server."""


class ServerProcess:
    """Processor time and peak memory of a server with its children."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu_seconds(self) -> float:
        """User and system time so far, of the process and its running children."""
        total = 0.0
        for process in [self._process, *self._process.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def peak_mib(self) -> float:
        """The largest resident size so far, of the process and its running children together.

        Each may have had its peak at another time, so it is rather too much. What they map together is counted once:
        the memory that our processes share for uploads, programs and libraries.
        """
        processes = [self._process, *self._process.children(recursive=True)]
        mapped = [_mapped_bytes(process) for process in processes]
        shared = 0
        for path in set().union(*mapped):
            shared += sum(sorted((each.get(path, 0) for each in mapped), reverse=True)[1:])
        return sum(_high_water_kib(process.pid) for process in processes) / 1024 - shared / 1024**2


def _mapped_bytes(process: psutil.Process) -> dict[str, int]:
    """Resident bytes of each file, or shared memory, that a process maps."""
    return {each.path: each.rss for each in process.memory_maps() if each.path.startswith("/")}


def _high_water_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


class Stopwatch:
    """Wall time of a `with` block; `seconds` is set at its end."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> Stopwatch:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
