"""When a study is complete: because its sender says so, or because nothing came for its quiet time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from imaging.database import Database
from imaging.errors import FailedPrecondition, NotFound
from storage_svc import clock
from storage_svc.change_log import ChangeLog
from storage_svc.manifest import Expectation, complete_study
from storage_svc.names import study_name
from storage_svc.open_uploads import OpenUploads
from storage_svc.schema import STUDY

_LOOK_SECONDS = 0.25
"""Between looks at what is due: small beside the quiet time, and one indexed query."""
_HELD_SECONDS = 1.0
"""How much later a study comes up again whose uploads are still open."""
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
        if study_instance_uid in self._open_uploads:
            raise FailedPrecondition(
                "Uploads of the study are open",
                where=study_name(study_instance_uid),
                hint="Wait for the outcome of each upload, or finish those that were broken off, then complete it.",
            )
        return await self._changes.write(lambda connection: complete_study(connection, study_instance_uid, expected))

    async def run(self) -> None:
        """Complete studies when their quiet time is over, until cancelled."""
        while True:
            try:
                await self._complete_due()
            except Exception:  # noqa: BLE001 - studies must go on becoming complete, whatever happened to one
                _log.exception("the look for quiet studies failed")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _complete_due(self) -> None:
        def due(connection: Connection) -> list[str]:
            query = select(STUDY.c.study_instance_uid).where(STUDY.c.quiet_due <= clock.now()).limit(100)
            return list(connection.execute(query).scalars())

        for uid in await self._database.read(due):
            if uid in self._open_uploads:
                await self._database.write(partial(_postpone, uid=uid))
                continue
            try:
                await self._changes.write(partial(_complete_if_due, uid=uid))
            except (NotFound, FailedPrecondition) as error:
                _log.info("a quiet study is not completed: %s", error.text)
                await self._database.write(partial(_forget, uid=uid))


def _complete_if_due(connection: Connection, uid: str) -> None:
    """An instance may have come between the look and now: then it is not due any more."""
    due = connection.execute(select(STUDY.c.quiet_due).where(STUDY.c.study_instance_uid == uid)).scalar()
    if due is not None and due <= clock.now():
        complete_study(connection, uid, Expectation())


def _postpone(connection: Connection, uid: str) -> None:
    later = clock.now() + int(_HELD_SECONDS * 1_000_000)
    earlier = (STUDY.c.study_instance_uid == uid) & (STUDY.c.quiet_due < later)
    connection.execute(update(STUDY).where(earlier).values(quiet_due=later))


def _forget(connection: Connection, uid: str) -> None:
    connection.execute(update(STUDY).where(STUDY.c.study_instance_uid == uid).values(quiet_due=None))
