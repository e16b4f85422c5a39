"""A whole installation as a user starts it: `imaging up` in a process of its own, on free ports."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

STARTUP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Installation:
    """A running installation."""

    endpoints: dict[str, str]
    """`host:port` by service."""

    supervisor: subprocess.Popen[bytes]
    data_dir: Path

    def service_pid(self, service: str) -> int | None:
        """Process id of a service now; None while it is being restarted."""
        for child in psutil.Process(self.supervisor.pid).children(recursive=True):
            try:
                if child.cmdline()[-1:] == [service] or f"serve {service}" in " ".join(child.cmdline()):
                    return int(child.pid)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return None

    def kill(self, service: str) -> bool:
        """SIGKILL the service; False when it is not running now."""
        pid = self.service_pid(service)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


@contextmanager
def running_installation(
    data_dir: Path, env: Mapping[str, str] | None = None, sources: Path | None = None
) -> Iterator[Installation]:
    """`imaging up --json` on free ports, until the block ends; then Ctrl-C, and SIGKILL if that does not end it.

    Parameters
    ----------
    sources
        The tree whose program is started; None: that of these tests.
    """
    command = [sys.executable, "-m", "imaging", "up", "--json", "--port-base", "0", "--data", str(data_dir)]
    with (data_dir.parent / f"{data_dir.name}.stderr").open("wb") as stderr:
        supervisor = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **(env or {}), **({"PYTHONPATH": str(sources)} if sources else {})},
            cwd=sources,
            start_new_session=True,
        )
    try:
        yield Installation(_endpoints(supervisor, data_dir), supervisor, data_dir)
    finally:
        supervisor.send_signal(signal.SIGINT)
        try:
            supervisor.wait(30)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait(10)
        if supervisor.stdout:
            supervisor.stdout.close()


def _endpoints(supervisor: subprocess.Popen[bytes], data_dir: Path) -> dict[str, str]:
    assert supervisor.stdout is not None
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and supervisor.poll() is None:
        if select.select([supervisor.stdout], [], [], 0.2)[0]:
            line = supervisor.stdout.readline()
            if line:
                return dict(json.loads(line)["endpoints"])
    told = (data_dir.parent / f"{data_dir.name}.stderr").read_text()[-2000:]
    raise AssertionError(f"the installation did not start within {STARTUP_SECONDS} s; it said:\n{told}")
