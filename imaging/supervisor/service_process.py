"""One service as a child process: started, started again when it dies, drained."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging.errors import Unavailable
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings
from imaging.supervisor.backoff import Backoff
from imaging.supervisor.event import Event, EventKind
from imaging.supervisor.service_log import ServiceLog

SETTINGS_EXIT = 2
"""Exit code of a service that cannot run with its settings: another start would end the same way."""

HOPELESS_STARTS = 5
"""A service that was never ready is given up after so many short lives; one that ran before is tried for ever."""

_LONGEST_LINE = 1 << 20


class ServiceProcess:
    """A service and the process that it has now, if any."""

    def __init__(
        self,
        name: str,
        address: str,
        *,
        environment: Mapping[str, str],
        log: ServiceLog,
        channel: ChannelSettings,
        on_event: Callable[[Event], None],
        command: Sequence[str] = (),
        backoff: Backoff | None = None,
        wait_serving: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.log = log
        self.starts = 0
        self.failure: Unavailable | None = None
        """Set when the service was given up: its settings are wrong, or it never came up."""
        self._environment = dict(environment)
        self._channel = channel
        self._tell = on_event
        self._command = list(command) or [
            sys.executable, "-m", "imaging", "serve", name, "--parent-pid", str(os.getpid())
        ]  # fmt: skip
        self._backoff = backoff or Backoff()
        self._wait_serving = wait_serving or self._serving_by_health
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._was_ready = False
        self._ready = asyncio.Event()
        self._supervision: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the service runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Begin to supervise: start the process, and again whenever it dies."""
        self._supervision = asyncio.create_task(self._supervise(), name=f"supervise-{self.name}")

    async def wait_ready(self) -> None:
        """Wait until the service says SERVING.

        Raises
        ------
        Unavailable
            If it cannot run with these settings, or was ended before it was ready.
        """
        waiting = asyncio.create_task(self._ready.wait())
        tasks = {waiting} | ({self._supervision} if self._supervision is not None else set())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self.failure is not None:
            raise self.failure
        if waiting not in done:
            raise Unavailable("It was ended before it was ready", where=self.name)

    async def wait_ended(self) -> None:
        """Wait until supervision has ended: drained, killed, or failed for good."""
        if self._supervision is not None:
            await asyncio.wait({self._supervision})

    async def drain(self, grace: timedelta) -> None:
        """Ask the process to end (SIGTERM), wait, and kill it after `grace`."""
        self._stopping = True
        if self.pid is None:
            await self._end()
            return
        self._tell(Event(EventKind.DRAINING, self.name))
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait_ended(), grace.total_seconds())
        except TimeoutError:
            self._tell(Event(EventKind.DIED, self.name, f"did not end within {grace.total_seconds():.0f} s: killed"))
        await self._end()

    async def kill(self) -> None:
        """End the process at once."""
        self._stopping = True
        await self._end()

    async def _end(self) -> None:
        self._signal(signal.SIGKILL)
        if self._supervision is not None:
            if self.pid is None:
                self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)
        self.log.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _supervise(self) -> None:
        while True:
            began = time.monotonic()
            code = await self._one_life()
            self._ready.clear()
            if self._stopping:
                self._tell(Event(EventKind.STOPPED, self.name))
                return
            wait = self._backoff.after(timedelta(seconds=time.monotonic() - began))
            hopeless = not self._was_ready and self._backoff.short_lives >= HOPELESS_STARTS
            if code == SETTINGS_EXIT or hopeless:
                what = self.log.last_error or f"The service ended with exit code {code} at every start"
                self.failure = Unavailable(what, where=self.name, hint=f"Its log is {self.log.path}.")
                return
            self._tell_death(code, wait)
            await asyncio.sleep(wait.total_seconds())

    def _tell_death(self, code: int, wait: timedelta) -> None:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        again = f"started again in {wait.total_seconds():.1f} s"
        if self._backoff.is_looping:
            why = f"; last error: {self.log.last_error}" if self.log.last_error else ""
            text = (
                f"crashes again and again ({how}, {self._backoff.short_lives} times{why}); {again}; see {self.log.path}"
            )
            self._tell(Event(EventKind.CRASH_LOOP, self.name, text))
        else:
            self._tell(Event(EventKind.DIED, self.name, f"{how}; {again}"))

    async def _one_life(self) -> int:
        self.starts += 1
        self._tell(Event(EventKind.STARTING, self.name))
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            # A session of its own: Ctrl-C at the terminal reaches the supervisor alone, which drains in order.
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        health = asyncio.create_task(self._watch_health(), name=f"health-{self.name}")
        try:
            await self._keep_log()
            return await self._process.wait()
        except asyncio.CancelledError:
            self._signal(signal.SIGKILL)
            raise
        finally:
            health.cancel()
            await asyncio.gather(health, return_exceptions=True)

    async def _keep_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # longer than the limit: asyncio dropped it
                continue
            if not line:
                return
            error = self.log.write(line)
            if error:
                self._tell(Event(EventKind.LOGGED_ERROR, self.name, error))

    async def _watch_health(self) -> None:
        """Tell once when the process that runs now is SERVING."""
        await self._wait_serving()
        self._was_ready = True
        self._ready.set()
        self._tell(Event(EventKind.READY, self.name, self.address))

    async def _serving_by_health(self) -> None:
        async with open_channel(self.address, self._channel) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.RpcError:
                    pass
                await asyncio.sleep(0.1)
