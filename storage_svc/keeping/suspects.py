"""Objects that reading found damaged are verified at once, so that the index knows and everybody is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

from imaging.database import Database
from imaging.errors import DataLoss, ImagingError
from imaging.objectstore import ObjectStore
from storage_svc.keeping.condition_record import ConditionRecord
from storage_svc.keeping.object_check import OK, check_content
from storage_svc.keeping.scrub_queue import with_keys

_MOST: Final = 1000
"""Objects that may wait; when more are damaged, the scrub or `imaging storage verify` finds them."""

_log = logging.getLogger(__name__)


class Suspects:
    """The objects under suspicion, in the order of reports."""

    def __init__(self, database: Database, store: ObjectStore, record: ConditionRecord) -> None:
        self._database = database
        self._store = store
        self._record = record
        self._waiting: dict[str, None] = {}
        self._news = asyncio.Event()

    async def noticing(self, messages: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The messages of a retrieval; the object that it ends at as damaged is reported."""
        try:
            async for message in messages:
                yield message
        except DataLoss as error:
            self.report(error.where)
            raise
        finally:
            await messages.aclose()

    def report(self, object_key: str) -> None:
        """Let an object be verified soon."""
        if object_key and len(self._waiting) < _MOST:
            self._waiting[object_key] = None
            self._news.set()

    async def run(self) -> None:
        """Verify what is reported, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                key = next(iter(self._waiting))
                del self._waiting[key]
                try:
                    await self._verify(key)
                except ImagingError as error:
                    _log.warning("a suspect object cannot be verified now: %s", error.text)
                except Exception:  # noqa: BLE001 - the others must be verified
                    _log.exception("a suspect object was not verified")

    async def _verify(self, key: str) -> None:
        for row in await self._database.read(partial(with_keys, keys=[key])):
            if row["condition"] != OK:
                continue  # known already; if it was repaired, verifying it is the operator's next step
            await self._record.keep([await check_content(self._store, row)])
