"""Can storage write? Tried now and then, and at once when an upload could not be kept; health checks tell it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from sqlalchemy import Connection, delete, insert

from imaging.database import Database, clock
from imaging.errors import ImagingError, Internal
from imaging.objectstore import ObjectStore
from imaging.objectstore.os_failure import os_failures
from storage_svc.schema import UPLOAD

WRITES: Final = "writes"
"""The name in health checks: NOT_SERVING while uploads cannot be kept. What is kept is served all the same, so that the
other names stay as they are: in a service that cannot be reached nobody can delete to make room."""

_ROOM_BYTES: Final = 4 * 1024 * 1024
"""Must be free: an instance that comes whole in one message has about so much."""

_SELDOM_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 1.0
_TRIAL: Final = f"trial-{token_hex(8)}"
"""Of this process alone: others may share folder and database."""

_NOT_FORESEEN: Final = (errno.EINVAL, errno.EOPNOTSUPP)
"""Of file systems that reserve no room."""

_log = logging.getLogger(__name__)


class WriteWatch:
    """Tries to write, and tells when the answer becomes another one.

    Parameters
    ----------
    tell
        Hears it: True when storage can write.
    """

    def __init__(self, database: Database, store: ObjectStore, tell: Callable[[bool], Awaitable[None]]) -> None:
        self._database = database
        self._store = store
        self._tell = tell
        self._doubted = asyncio.Event()

    def doubt(self) -> None:
        """Something could not be kept: try it at once."""
        self._doubted.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._tell(True)
        failure: ImagingError | None = None
        while True:
            if failure is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SELDOM_SECONDS):
                        await self._doubted.wait()
            thoroughly = failure is not None or self._doubted.is_set()
            self._doubted.clear()
            before, failure = failure, await self._try(thoroughly)
            if failure is not None and before is None:
                _log.error("storage cannot write: %s", failure.text)
            elif failure is None and before is not None:
                _log.warning("storage can write again")
            if (failure is None) is not (before is None):
                await self._tell(failure is None)
            await asyncio.sleep(_PAUSE_SECONDS)  # each upload that is refused doubts anew

    async def _try(self, thoroughly: bool) -> ImagingError | None:
        try:
            await asyncio.to_thread(self._write_file)
            if thoroughly:
                await asyncio.to_thread(self._store.stat, _TRIAL)
                await self._database.write(_write_row)
        except ImagingError as error:
            return error
        except Exception:  # noqa: BLE001 - the watch must go on
            _log.exception("storage could not try to write")
            return Internal("Trying to write met a defect")
        return None

    def _write_file(self) -> None:
        path: Path = self._store.spool / f"once-{_TRIAL}"
        try:
            with os_failures("trying to write", path.parent), path.open("wb", buffering=0) as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, _ROOM_BYTES)
                except OSError as error:
                    if error.errno not in _NOT_FORESEEN:
                        raise
                file.write(bytes(4096))
                os.fsync(file.fileno())
        finally:
            with suppress(OSError):
                path.unlink()


def _write_row(connection: Connection) -> None:
    """Nothing is left of it, but it is committed."""
    connection.execute(delete(UPLOAD).where(UPLOAD.c.upload_id == _TRIAL))
    values = {"upload_id": _TRIAL, "size_bytes": 0, "persisted_bytes": 0, "spool_name": _TRIAL}
    connection.execute(insert(UPLOAD).values(update_time=clock.now(), **values))
    connection.execute(delete(UPLOAD).where(UPLOAD.c.upload_id == _TRIAL))
