"""What the index knows of a SOP Instance UID when an instance arrives under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from imaging.database import Database
from storage_svc.index.batching import Batcher
from storage_svc.ingest.origin import DERIVED, OriginOf
from storage_svc.schema import DERIVED_INSTANCE, INSTANCE, STUDY


@dataclass(frozen=True, slots=True)
class Known:
    """The instance that is served under a UID, and where the UID came from when it was first seen.

    `row` is None where nothing is stored; `origin` is None unless the UID is one of our own results.
    """

    row: Mapping[str, Any] | None
    patient_id: str
    origin: OriginOf | None

    @property
    def is_deleted(self) -> bool:
        """True while the instance is softly deleted."""
        return self.row is not None and self.row["purge_time"] is not None

    @property
    def is_derived(self) -> bool:
        """True for a result of ours."""
        return self.origin is not None or (self.row is not None and self.row["origin_kind"] == DERIVED)


NOTHING = Known(None, "", None)

# Made once: making a statement costs more than running it.
_UIDS: BindParameter[Any] = bindparam("uids", expanding=True)
_SERVED = (
    select(INSTANCE, STUDY.c.patient_id)
    .join(STUDY, STUDY.c.study_instance_uid == INSTANCE.c.study_instance_uid)
    .where(INSTANCE.c.sop_instance_uid.in_(_UIDS))
)
_DERIVED = select(DERIVED_INSTANCE).where(DERIVED_INSTANCE.c.sop_instance_uid.in_(_UIDS))


class Lookup:
    """Asks the index for UIDs; concurrent questions become one query."""

    def __init__(self, database: Database, *, linger: Callable[[int], float]) -> None:
        self._database = database
        self._batches: Batcher[str, Known] = Batcher(self._read, linger=linger)

    async def find(self, sop_instance_uid: str) -> Known:
        """What is known of the UID now."""
        return await self._batches.submit(sop_instance_uid)

    async def _read(self, uids: Sequence[str]) -> Sequence[Known]:
        return await self._database.read(lambda connection: known_instances(connection, uids))


def known_instances(connection: Connection, uids: Sequence[str]) -> list[Known]:
    """What is known of each UID, in the same order."""
    asked = {"uids": uids}
    rows: dict[str, Mapping[str, Any]] = {
        row["sop_instance_uid"]: dict(row) for row in connection.execute(_SERVED, asked).mappings()
    }
    derived = {
        row.sop_instance_uid: OriginOf(DERIVED, row.origin_run, row.origin_stage, row.origin_attempt)
        for row in connection.execute(_DERIVED, asked)
    }
    if not rows and not derived:
        return [NOTHING] * len(uids)
    return [Known(rows.get(uid), rows[uid]["patient_id"] if uid in rows else "", derived.get(uid)) for uid in uids]
