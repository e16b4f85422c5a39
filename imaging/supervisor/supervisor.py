"""All services of one installation under one parent."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from imaging.errors import StorageFull, Unavailable
from imaging.front.program import front_command, front_serves, traefik_program, write_configuration
from imaging.settings import SERVICE_NAMES, ServiceName, Settings
from imaging.settings.dimse import dimse_listen
from imaging.supervisor.addresses import FRONT, check_free, service_addresses, with_addresses
from imaging.supervisor.data_lock import DataLock
from imaging.supervisor.environment import child_environment
from imaging.supervisor.event import Event
from imaging.supervisor.service_log import ServiceLog
from imaging.supervisor.service_process import ServiceProcess

DRAIN_ORDER: Final[tuple[ServiceName, ...]] = ("pipeline", "gateway", "reporting", "analysis", "processing", "storage")
"""Who gives work ends before who takes it; storage, which all need, is the last."""

ENDPOINTS_FILE: Final = "endpoints.json"
"""In the data folder while the services run: where they listen."""


class Supervisor:
    """Starts the services, keeps them running, and drains them.

    Parameters
    ----------
    settings
        Of the installation; the addresses in it are replaced where `port_base` says so.
    port_base
        See `service_addresses`.
    on_event
        Told of everything that happens to a service; it must not block.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        port_base: int | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.wants_front = bool(settings.front.address)
        """Whether the settings ask for the one port, which also needs its program."""
        self._front_program = traefik_program() if self.wants_front else None
        self.addresses = service_addresses(settings, port_base, front=self._front_program is not None)
        """`host:port` by service, by door of the gateway, and of the one port, if there is a program for it."""
        settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self.settings = with_addresses(settings, self.addresses)
        self._lock = DataLock(self.settings.data_dir)
        self._inherited = os.environ if environment is None else environment
        self.services: dict[str, ServiceProcess] = {
            name: ServiceProcess(
                name,
                self.addresses[name],
                environment=child_environment(self.settings, self._inherited),
                log=ServiceLog(self.settings.data_dir / "logs" / f"{name}.log"),
                channel=self.settings.channel(),
                on_event=on_event,
            )
            for name in SERVICE_NAMES
        }
        if self._front_program is not None:
            self.services[FRONT] = self._front(self._front_program, on_event)

    async def start(self) -> None:
        """Take the data folder and start every service.

        Raises
        ------
        FailedPrecondition
            If another supervisor works on the data folder.
        Unavailable
            If an address is taken.
        SettingsInvalid
            If an address may not be listened on.
        """
        for name in SERVICE_NAMES:
            self.settings.listen(name)
        self.settings.listen_http()
        dimse_listen(self.settings)
        if self._front_program is not None:
            self.settings.check_front()
        self._lock.acquire()
        try:
            check_free(self.addresses)
            if self._front_program is not None:
                write_configuration(self.settings, self._front_folder, self._inherited)
            for service in self.services.values():
                service.start()
        except BaseException:
            self._lock.release()
            raise

    async def wait_ready(self, timeout: timedelta = timedelta(seconds=90)) -> None:
        """Wait until every service is SERVING.

        Raises
        ------
        Unavailable
            If one refuses its settings, or is not ready in time; its last error is told.
        """
        tasks = {name: asyncio.create_task(service.wait_ready()) for name, service in self.services.items()}
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await asyncio.gather(*tasks.values())
        except TimeoutError:
            late = [name for name, task in tasks.items() if not task.done() or task.cancelled()]
            told = "; ".join(f"{name}: {error}" for name in late if (error := self.services[name].log.last_error))
            raise Unavailable(
                f"Not ready within {timeout.total_seconds():.0f} s" + (f": {told}" if told else ""),
                where=", ".join(late),
                hint=f"The logs are in {self.settings.data_dir / 'logs'}.",
            ) from None
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        self._write_endpoints()

    async def wait_failed(self) -> None:
        """Wait until a service has ended for good, which happens only when something is wrong.

        Raises
        ------
        Unavailable
            Always: why it ended.
        """
        tasks = [asyncio.create_task(service.wait_ended()) for service in self.services.values()]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        raise next((s.failure for s in self.services.values() if s.failure), Unavailable("A service has ended"))

    async def drain(self, grace: timedelta | None = None) -> None:
        """End all services in `DRAIN_ORDER`, each killed if it takes longer than `grace`.

        By default that is a little more than `drain_seconds`, so that a service that drains slowly ends by itself.
        """
        grace = grace or timedelta(seconds=self.settings.drain_seconds + 5)
        try:
            for name in DRAIN_ORDER:
                await self.services[name].drain(grace)
            if FRONT in self.services:
                # The last: what goes through it has been ended by the services themselves.
                await self.services[FRONT].drain(grace)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End all services at once and let go of the data folder."""
        await asyncio.gather(*(service.kill() for service in self.services.values()))
        (self.settings.data_dir / ENDPOINTS_FILE).unlink(missing_ok=True)
        self._lock.release()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
            await self.wait_ready()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain()

    @property
    def _front_folder(self) -> Path:
        return self.settings.data_dir / FRONT

    def _front(self, program: str, on_event: Callable[[Event], None]) -> ServiceProcess:
        async def serves() -> None:
            # Asked earlier, the breaker would keep the first callers out.
            await self.services["gateway"].wait_ready()
            await front_serves(self.settings)

        return ServiceProcess(
            FRONT,
            self.addresses[FRONT],
            environment=child_environment(self.settings, self._inherited),
            log=ServiceLog(self.settings.data_dir / "logs" / f"{FRONT}.log"),
            channel=self.settings.channel(),
            on_event=on_event,
            command=front_command(program, self._front_folder / "traefik.yaml"),
            wait_serving=serves,
        )

    def _write_endpoints(self) -> None:
        path = self.settings.data_dir / ENDPOINTS_FILE
        partial = path.with_suffix(".tmp")
        try:
            partial.write_text(json.dumps({"endpoints": self.addresses}) + "\n")
            partial.replace(path)
        except OSError as error:
            raise StorageFull(
                f"The data folder takes no more files: {error.strerror}",
                where=str(path.parent),
                hint="Free disk space, or choose another folder with --data DIR.",
            ) from None
