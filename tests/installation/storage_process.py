"""The storage service in a process of its own, as a user runs it: watched, killed, stopped, started again."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

START_SECONDS = 60

_STARTER = ThreadPoolExecutor(4, thread_name_prefix="start-storage")
"""A service dies with the thread that starts it, so some that live as long as the tests start them all."""


@dataclass(slots=True)
class StorageProcess:
    """A storage service on a free port of the loopback. A process that is started again keeps its port and its data."""

    data_dir: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of the section `storage`."""

    environment: Mapping[str, str] = field(default_factory=dict)
    launcher: Sequence[str] = ()
    """What comes before the command: a program that runs it under a limit or in another name space."""

    address: str = "127.0.0.1:0"
    process: subprocess.Popen[str] | None = None

    @property
    def log_file(self) -> Path:
        """What the service said, over all its lives."""
        return self.data_dir.parent / f"{self.data_dir.name}.log"

    @property
    def log(self) -> str:
        """The text of `log_file`."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        _STARTER.submit(self._start).result()

    def _start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGING_")}
        command = [*self.launcher, sys.executable, "-m", "imaging", "serve", "storage", "--json"]
        command += ["--address", self.address, "--data", str(self.data_dir), "--parent-pid", str(os.getpid())]
        for name, value in self.settings.items():
            command += ["--set", f"storage.{name}={value}"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**kept, **self.environment},
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        assert line, f"the storage service did not start; it said:\n{self.log[-2000:]}"
        self.address = str(json.loads(line)["address"])

    def kill(self) -> None:
        """SIGKILL, which leaves it no time for anything."""
        assert self.process is not None
        self.process.kill()
        self._reap(10)

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; its exit code. SIGKILL if it has not ended after so many seconds."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self._reap(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def _reap(self, seconds: float) -> int:
        assert self.process is not None
        code = self.process.wait(seconds)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def intake_pid(self) -> int:
        """Process id of its intake process."""
        children = psutil.Process(self.pid).children()
        return next(child.pid for child in children if "storage_svc.intake.process" in child.cmdline())

    def resident_bytes(self) -> int:
        """Resident memory now, of the service and its intake process; what they share counts twice."""
        return sum(int(psutil.Process(pid).memory_info().rss) for pid in self._pids())

    def private_bytes(self) -> int:
        """Resident memory now, without the arena that they share, which is of a fixed size and never given back."""
        memory = (psutil.Process(pid).memory_info() for pid in self._pids())
        return sum(int(each.rss - each.shared) for each in memory)

    def forget_peak(self) -> None:
        """From now on `peak_bytes` counts anew."""
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")

    def peak_bytes(self) -> int:
        """The most resident memory of both since it was last forgotten."""
        return sum(_peak_kib(pid) for pid in self._pids()) * 1024

    def _pids(self) -> tuple[int, int]:
        return self.pid, self.intake_pid()

    def open_files(self) -> int:
        """Descriptors that are open."""
        return int(psutil.Process(self.pid).num_fds())


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


@contextmanager
def storage_process(data_dir: Path, **options: object) -> Iterator[StorageProcess]:
    """A running one; ended with the block, by force if it must be."""
    storage = StorageProcess(data_dir, **options)  # type: ignore[arg-type]  # fields of the dataclass
    try:
        storage.start()
        yield storage
    finally:
        if storage.is_alive:
            with suppress(subprocess.TimeoutExpired):
                storage.stop()
        if storage.process is not None and storage.process.stdout is not None:
            storage.process.stdout.close()
