"""A child process that may die without taking the service down, and the socket to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import imaging
from imaging.codecs.worker_wire import WireBroken, WireClosed, receive_header

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")

START_SECONDS = 60.0
"""How long a child may take to be ready: 0.3 s, and more on a machine that is busy."""


class ChildProcess:
    """One running child: a fresh interpreter, a socket to it, and nothing of our environment but paths."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it and wait until it is ready.

        Raises
        ------
        OSError
            If the system starts no process.
        RuntimeError
            If the process ended, or is not ready in `START_SECONDS`.
        """
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                close_fds=True,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is the service's to handle
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.connection = ours
        """Ours; the child closes its own when it ends."""
        try:
            receive_header(ours, time.monotonic() + START_SECONDS)
        except (WireBroken, OSError) as error:
            raise RuntimeError(f"a new worker {self.ending(error)}") from None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def is_alive(self) -> bool:
        """Whether it still runs and can be given work."""
        return self.connection.fileno() >= 0 and self._process.poll() is None

    def kill(self) -> None:
        """End the process at once and let go of it."""
        self.connection.close()
        self._process.kill()
        self._process.wait()

    def ending(self, error: Exception) -> str:
        """How the process ended, in words; if it did not, it is ended now."""
        if not isinstance(error, WireClosed | ConnectionError):
            self.kill()
            return f"answered nonsense ({error})" if isinstance(error, WireBroken) else "does not answer"
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)  # a dying process closes its socket a moment before it can be waited for
        code = self._process.poll()
        self.kill()
        if code is None:
            return "closed its socket"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _environment() -> dict[str, str]:
    """Paths only: no token, key or address of the service may be read out of a broken worker."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    root = Path(next(iter(imaging.__path__))).parent
    environment["PYTHONPATH"] = str(root)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # One thread a worker: the pool is the parallelism, and thread stacks would count as address space.
    environment.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", OPJ_NUM_THREADS="1")
    return environment
