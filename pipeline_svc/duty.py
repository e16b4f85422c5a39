"""The duty: following storage's changes and carrying runs, by one replica at a time while the others stand by."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from imaging.database.lease import Lease, LeaseLost
from imaging.errors import ImagingError
from pipeline_svc.runs.engine import RunEngine
from pipeline_svc.watcher import Watcher

_log = logging.getLogger(__name__)

LETTING_GO: Final = timedelta(seconds=5)
"""To let go of all runs; nothing of them is waited for."""

_RETRY_S: Final = 1.0


class Duty:
    """On duty while it holds the lease. What one that does not is asked for goes through the tables of the runs."""

    def __init__(self, lease: Lease, engine: RunEngine, watcher: Watcher) -> None:
        self._lease = lease
        self._engine = engine
        self._watcher = watcher

    async def run(self) -> None:
        """Wait for the lease and do what comes with it, until cancelled; then the lease is given back.

        Runs are let go of first, so that the next one attaches to their stages where this one has left them.
        """
        try:
            while True:
                await self._lease.take()
                _log.info("on duty")
                try:
                    await self._serve()
                except LeaseLost:
                    _log.warning("another replica is on duty")
                except ImagingError as error:
                    _log.warning("off duty", extra={"error": error.text})
                    await asyncio.sleep(_RETRY_S)
        finally:
            try:
                await self._lease.give_back()
            except ImagingError as error:
                _log.warning("the lease is not given back, it runs out", extra={"error": error.text})

    async def _serve(self) -> None:
        tasks = [
            asyncio.create_task(self._lease.keep(), name="lease"),
            asyncio.create_task(self._engine.run(), name="run-engine"),
            asyncio.create_task(self._watcher.watch(), name="change-watcher"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LETTING_GO.total_seconds())
