"""The gateway's acceptor processes: started, started again when one dies, ended with the gateway.

A process of its own for what comes from modalities: one that is busy with a thousand slices, or that a hostile peer has
brought down, holds up neither gRPC nor the web. The listening sockets belong to the gateway, so connections wait for
the next acceptor instead of being refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway_svc.listening import listening_socket
from imaging.settings import Settings
from imaging.settings.dimse import dimse_listen
from imaging.supervisor.backoff import Backoff
from imaging.supervisor.environment import child_environment

_log = logging.getLogger(__name__)
_MODULE = "gateway_svc.dimse.acceptor"
_ROOT = Path(__file__).parents[2]


class Acceptors:
    """All acceptor processes of a gateway.

    Parameters
    ----------
    keep_ledger
        Serves the gateway's end of the socket that each one writes down by what it owes.

    Raises
    ------
    SettingsInvalid
        If the settings name addresses that may not be listened on.
    """

    def __init__(self, settings: Settings, keep_ledger: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> None:
        self._settings = settings
        self._listen = dimse_listen(settings)
        self._keep_ledger = keep_ledger
        self._sockets: list[socket.socket] = []
        self._supervisions: list[asyncio.Task[None]] = []
        self._processes: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    @property
    def ports(self) -> list[int]:
        """The ports of the addresses, once started."""
        return [int(bound.getsockname()[1]) for bound in self._sockets]

    @property
    def pids(self) -> list[int]:
        """Process ids of the acceptors that run."""
        return [process.pid for process in self._processes if process.returncode is None]

    def start(self) -> None:
        """Listen, and start the processes.

        Raises
        ------
        Unavailable
            If an address cannot be listened on.
        """
        try:
            for listen in self._listen:
                self._sockets.append(listening_socket(listen.address))
        except BaseException:
            self._close()
            raise
        environment = child_environment(self._settings, os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH")]))
        self._supervisions = [
            asyncio.create_task(self._supervise(environment), name=f"dimse-acceptor-{number}")
            for number in range(self._settings.gateway.dimse_acceptors)
        ]

    async def stop(self, grace: timedelta) -> None:
        """Take no more associations, let running ones end within `grace`, then end the processes."""
        self._stopping.set()
        self._signal_all("terminate")
        if self._supervisions:
            # A little longer than the acceptors give themselves.
            _, late = await asyncio.wait(self._supervisions, timeout=grace.total_seconds() + 3)
            if late:
                self._signal_all("kill")
                for task in late:
                    task.cancel()
                await asyncio.wait(late)
        self._close()

    def _signal_all(self, how: str) -> None:
        for process in self._processes:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    getattr(process, how)()

    def _close(self) -> None:
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()

    async def _supervise(self, environment: dict[str, str]) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._one_life(environment)
            if self._stopping.is_set():
                return
            wait = backoff.after(timedelta(seconds=time.monotonic() - began))
            _log.error(
                "a DIMSE acceptor died; its associations are lost, their senders send again",
                extra={"exit_code": code, "starts_again_in_seconds": wait.total_seconds()},
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait.total_seconds())

    async def _one_life(self, environment: dict[str, str]) -> int:
        own_end, its_end = socket.socketpair()
        descriptors = [its_end.fileno(), *(bound.fileno() for bound in self._sockets)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            _MODULE,
            str(os.getpid()),
            *map(str, descriptors),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env=environment,
            pass_fds=descriptors,
            start_new_session=True,
        )
        its_end.close()
        ledger = asyncio.create_task(self._keep_ledger(own_end), name="ledger")
        self._processes.add(process)
        try:
            code = await process.wait()
            try:
                await ledger  # to the last line that it has written
            except Exception:  # noqa: BLE001 - whatever it met, the acceptor has to come again
                _log.exception("the ledger of a DIMSE acceptor met a defect")
        except BaseException:
            ledger.cancel()
            raise
        else:
            return code
        finally:
            self._processes.discard(process)
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
