"""When a study is complete: because its sender says so, or because nothing came for its quiet time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from imaging.database import Database, clock
from imaging.errors import FailedPrecondition, NotFound, Unavailable
from storage_svc.index.change_log import ChangeLog
from storage_svc.index.manifest import Expectation, complete_study
from storage_svc.index.studies import lock_studies
from storage_svc.names import study_name
from storage_svc.schema import STUDY
from storage_svc.upload.open_uploads import OpenUploads
from storage_svc.upload.spool import is_awaited

_LOOK_SECONDS = 0.25
"""Between looks at what is due: small beside the quiet time, and one indexed query."""
_HELD_SECONDS = 1.0
"""How much later a study comes up again whose uploads are still open."""
_AHEAD_SECONDS = 1.0
"""So long before it is due, a study with open uploads is held where other processes might complete it."""
_log = logging.getLogger(__name__)


class Completion:
    """Completes studies. What is due is persisted, so that a restart forgets none."""

    def __init__(self, database: Database, changes: ChangeLog, open_uploads: OpenUploads) -> None:
        self._database = database
        self._changes = changes
        self._open_uploads = open_uploads

    async def complete(self, study_instance_uid: str, expected: Expectation) -> Mapping[str, Any]:
        """The study's row with its manifest, complete now.

        Raises
        ------
        NotFound, FailedPrecondition
            As `complete_study`; also if uploads of the study are open.
        """

        def write(connection: Connection) -> Mapping[str, Any]:
            if study_instance_uid in self._open_uploads or is_awaited(connection, study_instance_uid):
                raise FailedPrecondition(
                    "Uploads of the study are open",
                    where=study_name(study_instance_uid),
                    hint="Wait for the outcome of each upload, or finish those that were broken off, then complete it.",
                )
            return complete_study(connection, study_instance_uid, expected)

        return await self._changes.write(write)

    async def run(self) -> None:
        """Complete studies when their quiet time is over, until cancelled.

        Each process on the database does; the lock of a study's row lets one of them complete it.
        """
        while True:
            try:
                await self._complete_due()
            except Exception:  # noqa: BLE001 - studies must go on becoming complete, whatever happened to one
                _log.exception("the look for quiet studies failed")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _complete_due(self) -> None:
        now = clock.now()
        # Only this process knows of its small uploads: what they hold is put off before others find it due.
        ahead = now + int(_AHEAD_SECONDS * 1_000_000) if self._database.is_shared else now

        def soon(connection: Connection) -> list[tuple[str, int]]:
            query = select(STUDY.c.study_instance_uid, STUDY.c.quiet_due).where(STUDY.c.quiet_due <= ahead)
            return [(row[0], row[1]) for row in connection.execute(query.order_by(STUDY.c.quiet_due).limit(100))]

        for uid, due in await self._database.read(soon):
            if uid in self._open_uploads:
                await self._database.write(partial(_postpone, uid=uid))
            elif due <= now:
                await self._complete(uid)

    async def _complete(self, uid: str) -> None:
        try:
            await self._changes.write(partial(_complete_if_due, uid=uid))
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - it would be in the way of all that come after it
            _log.exception("a quiet study could not be completed")
            await self._database.write(partial(_postpone, uid=uid))


def _complete_if_due(connection: Connection, uid: str) -> None:
    """An instance may have come between the look and now: then it is not due any more."""
    row = lock_studies(connection, [uid]).get(uid)
    if row is None or row["quiet_due"] is None or row["quiet_due"] > clock.now():
        return
    if is_awaited(connection, uid):
        _postpone(connection, uid)
        return
    try:
        complete_study(connection, uid, Expectation())
    except (NotFound, FailedPrecondition) as error:
        _log.info("a quiet study is not completed", extra={"error": error.text})
        # In this transaction: the next instance makes it due again, and that must not be forgotten.
        connection.execute(update(STUDY).where(STUDY.c.study_instance_uid == uid).values(quiet_due=None))


def _postpone(connection: Connection, uid: str) -> None:
    later = clock.now() + int((_AHEAD_SECONDS + _HELD_SECONDS) * 1_000_000)
    earlier = (STUDY.c.study_instance_uid == uid) & (STUDY.c.quiet_due < later)
    connection.execute(update(STUDY).where(earlier).values(quiet_due=later))
