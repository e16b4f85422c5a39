"""Runs by state, and how long the oldest one has waited or worked: what tells that runs do not get on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from sqlalchemy import Connection

from imaging.database import Database
from imaging.errors import ImagingError
from imaging.pipeline.v1 import pipeline_pb2
from pipeline_svc.runs.queries import oldest_unfinished_us, runs_by_state

LOOK_SECONDS: Final = 5.0
"""Between two looks into the table of runs."""

_STATES: Final = {number: name.removeprefix("STATE_").lower() for name, number in pipeline_pb2.State.items() if number}
_log = logging.getLogger(__name__)


class RunMetrics:
    """Looks into the table from time to time, so that a scrape never waits for the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_state: dict[int, int] | None = None
        self._oldest_us: int | None = None
        meter = metrics.get_meter("imaging")
        meter.create_observable_gauge("imaging.pipeline.runs", [self._runs], description="Runs by state.")
        meter.create_observable_gauge(
            "imaging.pipeline.oldest_unfinished_run.age",
            [self._age],
            unit="s",
            description="Time since the oldest run that is not ended was created; 0 if all are.",
        )

    async def run(self) -> None:
        """Look until cancelled. While the database fails, nothing is told rather than what was true once."""
        while True:
            try:
                self._by_state, self._oldest_us = await self._database.read(_look)
            except ImagingError as error:
                self._by_state = None
                _log.warning("runs cannot be counted", extra={"error": error.text})
            await asyncio.sleep(LOOK_SECONDS)

    def _runs(self, _: CallbackOptions) -> Iterable[Observation]:
        found = self._by_state
        if found is None:
            return []
        return [Observation(found.get(state, 0), {"state": name}) for state, name in _STATES.items()]

    def _age(self, _: CallbackOptions) -> Iterable[Observation]:
        if self._by_state is None:
            return []
        return [Observation(0.0 if self._oldest_us is None else max(0.0, time.time() - self._oldest_us / 1_000_000))]


def _look(connection: Connection) -> tuple[dict[int, int], int | None]:
    return runs_by_state(connection), oldest_unfinished_us(connection)
