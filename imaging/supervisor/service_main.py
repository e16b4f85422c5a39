"""The life of one service process: build, serve, drain."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from imaging.errors import ImagingError
from imaging.settings import ServiceName, Settings
from imaging.supervisor.unusable_path import unusable_path
from imaging.telemetry.json_log import log_to_stderr
from imaging.telemetry.log_export import export_logs
from imaging.telemetry.metrics_export import export_metrics
from imaging.telemetry.trace_export import export_traces

log = logging.getLogger(__name__)


class Service(Protocol):
    """What `<name>_svc.service:build(settings)` gives back."""

    async def start(self) -> int:
        """Open the back ends and listen; the port."""

    async def stop(self, grace: timedelta) -> None:
        """NOT_SERVING first, then let calls end within `grace`, then close the back ends."""


async def run_service(name: ServiceName, settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

    Raises
    ------
    ImagingError
        If the service cannot start.
    """
    log_to_stderr(name, settings.telemetry.log_level)
    flushes = [export_logs(name), export_traces(name), export_metrics(name, settings.metrics_address(name))]
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _ask_to_end, ended, number)
    try:
        service = _built(name, settings)
        port = await service.start()
        address = f"{settings.address(name).rpartition(':')[0]}:{port}"
        log.info("serving", extra={"address": address, "pid": os.getpid()})
        on_ready(address)
        await ended.wait()
        log.info("draining")
        await service.stop(timedelta(seconds=settings.drain_seconds))
        log.info("stopped")
    except ImagingError:
        raise
    except Exception:
        # The supervisor tells the last error of the log; the stack goes nowhere else.
        log.exception("the service cannot run")
        raise
    finally:
        await asyncio.gather(*(asyncio.to_thread(flush) for flush in flushes))


def _built(name: ServiceName, settings: Settings) -> Service:
    try:
        service: Service = importlib.import_module(f"{name}_svc.service").build(settings)
    except OSError as error:
        shown = unusable_path(error)
        if shown is None:
            raise
        raise shown from error
    return service


def _ask_to_end(ended: asyncio.Event, number: int) -> None:
    if ended.is_set():
        os._exit(128 + number)
    ended.set()
