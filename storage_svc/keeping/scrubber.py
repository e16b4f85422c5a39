"""The scrub: each kept object is verified at least once in a period, in the background, evenly, at a bounded rate."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

from imaging.database import Database, clock
from imaging.errors import ImagingError, Unavailable
from imaging.objectstore import ObjectStore
from storage_svc.keeping.condition_record import ConditionRecord
from storage_svc.keeping.object_check import Checked, Pace, check_content
from storage_svc.keeping.scrub_queue import Amount, ScrubState, head_of_queue, kept_amount, scrub_state, want

_YOUNG: Final = 0.1
"""Part of the period in which an object is left alone after it was verified."""

_SPREAD: Final = 0.8
"""Part of the period over which one verification of everything is spread. What is left is reserve."""

_OBJECT_COST: Final = 64 * 1024
"""An object counts as so many bytes more than it has."""

_LOOK_SECONDS: Final = 60.0
"""Between looks whether somebody, also in another process, wants everything verified now."""

_BATCH_SECONDS: Final = 10.0
"""Objects that are verified within so long are recorded together; a restart loses no more."""

_MOST: Final = 200
_AMOUNT_SECONDS: Final = 600.0
_PUT_OFF_SECONDS: Final = 3600.0
_FIRST_BACKOFF, _LONGEST_BACKOFF = 5.0, 300.0
Row = Mapping[str, Any]
_log = logging.getLogger(__name__)


class Scrubber:
    """Its state is the time when each object was verified last, so that it goes on after a restart.

    Parameters
    ----------
    period
        Each object is verified at least once in this, as far as the rate allows.
    bytes_per_second
        Read at most.
    """

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        record: ConditionRecord,
        *,
        period: timedelta,
        bytes_per_second: int,
    ) -> None:
        self.period = period
        self.bytes_per_second = bytes_per_second
        self._database = database
        self._store = store
        self._record = record
        self._pace = Pace(bytes_per_second)
        self._wake = asyncio.Event()
        self._amount = Amount(0, 0)
        self._amount_at = -float("inf")
        self._put_off: dict[str, float] = {}

    async def run(self) -> None:
        """Scrub until cancelled."""
        backoff = _FIRST_BACKOFF
        while True:
            try:
                await self._turn()
                backoff = _FIRST_BACKOFF
                continue
            except ImagingError as error:
                _log.warning("the scrub waits: %s", error.text)
            except Exception:  # noqa: BLE001 - the next turn may succeed
                _log.exception("the scrub failed")
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)

    async def start(self) -> ScrubState:
        """Want everything to be verified that was verified before now."""
        await self._database.write(partial(want, before=clock.now()))
        self._wake.set()
        return await self.state()

    async def state(self) -> ScrubState:
        """How far it is."""
        overdue_before = clock.now() - clock.microseconds(self.period)
        return await self._database.read(partial(scrub_state, overdue_before=overdue_before))

    async def _turn(self) -> None:
        """Verify the objects whose turn it is, or wait for the next."""
        self._wake.clear()
        rows, wanted = await self._head()
        late = clock.now() - clock.microseconds((_YOUNG + _SPREAD) * self.period)
        if hurried := [row for row in rows if row["verify_time"] < max(wanted, late)]:
            await self._verify(hurried)
            return
        young = clock.now() - clock.microseconds(_YOUNG * self.period)
        due = [row for row in rows if row["verify_time"] < young]
        if not due:
            await self._wait((rows[0]["verify_time"] - young) / 1_000_000 if rows else _LOOK_SECONDS)
            return
        began, seconds = time.monotonic(), await self._seconds_each(due)
        batch = due[: max(1, int(_BATCH_SECONDS / seconds))]
        await self._verify(batch)
        end = began + len(batch) * seconds
        while (left := end - time.monotonic()) > 0:
            if await self._wait(left) or await self._is_hurried():
                return

    async def _head(self) -> tuple[list[Row], int]:
        now = time.monotonic()
        self._put_off = {key: until for key, until in self._put_off.items() if until > now}
        head = await self._database.read(partial(head_of_queue, limit=_MOST + len(self._put_off)))
        self._record.know(head.damaged)
        return [row for row in head.rows if row["object_key"] not in self._put_off], head.wanted_time

    async def _is_hurried(self) -> bool:
        rows, wanted = await self._head()
        return bool(rows) and rows[0]["verify_time"] < wanted

    async def _seconds_each(self, rows: Sequence[Row]) -> float:
        """The time that one of these objects may take so that all of them are verified evenly."""
        if time.monotonic() - self._amount_at > _AMOUNT_SECONDS:
            self._amount = await self._database.read(kept_amount)
            self._amount_at = time.monotonic()
        total = self._amount.size_bytes + _OBJECT_COST * max(self._amount.objects, 1)
        mean = sum(row["size_bytes"] + _OBJECT_COST for row in rows) / len(rows)
        return float(_SPREAD * self.period.total_seconds() * mean / total)

    async def _verify(self, rows: Sequence[Row]) -> None:
        """Verify objects for a while, and record them. One that alone cannot be read now comes up again later.

        Raises
        ------
        Unavailable
            If none of them can be read.
        """
        checks: list[Checked] = []
        failure: Unavailable | None = None
        until = time.monotonic() + _BATCH_SECONDS
        try:
            for row in rows:
                await self._pace.spend(_OBJECT_COST)
                try:
                    checks.append(await check_content(self._store, row, self._pace.spend))
                except Unavailable as error:
                    failure = error
                    self._put_off[row["object_key"]] = time.monotonic() + _PUT_OFF_SECONDS
                    if not checks:
                        break
                    _log.warning("an object cannot be verified now: %s", error.text)
                if time.monotonic() > until:
                    break
        finally:
            await self._record.keep(checks)
        if failure is not None and not checks:
            raise failure

    async def _wait(self, seconds: float) -> bool:
        """Wait, but not longer than until the next look; True if woken."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), min(seconds, _LOOK_SECONDS))
        return self._wake.is_set()
