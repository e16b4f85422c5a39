"""What was found about objects goes into the index; a change of their condition is told to everybody who must know."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, update

from imaging.database import clock
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import ChangeLog, record_change
from storage_svc.keeping.object_check import OK, Checked, Condition
from storage_svc.schema import INSTANCE, KEPT_OBJECT
from storage_svc.storage_metrics import StorageMetrics
from storage_svc.versions.kept_name import kept_name
from storage_svc.versions.kept_objects import kept_objects

_DAMAGED = storage_pb2.Change.KIND_OBJECT_DAMAGED
_HEALED = storage_pb2.Change.KIND_OBJECT_HEALED
WORDS: Final = {
    Condition.OBJECT_CONDITION_MISSING: "missing",
    Condition.OBJECT_CONDITION_DIFFERING: "differing",
    Condition.OBJECT_CONDITION_OK: "ok",
}
"""The conditions in logs and metrics."""

_log = logging.getLogger(__name__)


class ConditionRecord:
    """Records many checks in one commit."""

    def __init__(self, changes: ChangeLog, metrics: StorageMetrics) -> None:
        self._changes = changes
        self._metrics = metrics

    def know(self, counts: Mapping[int, int]) -> None:
        """Let the metrics tell how many objects are damaged, by condition."""
        self._metrics.damaged({word: counts.get(condition, 0) for condition, word in WORDS.items()})

    async def keep(self, checks: Sequence[Checked], *, verified: bool = True) -> None:
        """Keep what was found.

        An error line in the log, a change and a count tell of each object whose condition has changed to a damaged one.

        Parameters
        ----------
        verified
            All bytes were read: the objects go to the end of the queue of the scrub.
        """
        if not checks:
            return
        changed = await self._changes.write(lambda connection: _write(connection, checks, verified))
        for checked in checks:
            self._metrics.verified(WORDS[checked.condition])
        for name, checked in changed:
            facts = {"object": name, "object_key": checked.row["object_key"]}
            if checked.condition == OK:
                _log.warning("an object that was damaged is right again", extra=facts)
            else:
                _log.error("a stored object is %s", WORDS[checked.condition], extra=facts)


def _write(connection: Connection, checks: Sequence[Checked], verified: bool) -> list[tuple[str, Checked]]:
    """The names of the objects whose condition was another one until now."""
    if verified:
        now = clock.now()
        times = [{"key": checked.row["object_key"], "time": now} for checked in checks]
        own = KEPT_OBJECT.c.object_key == bindparam("key")
        connection.execute(update(KEPT_OBJECT).where(own).values(verify_time=bindparam("time")), times)
    changed = []
    for checked in checks:
        row, condition = checked.row, checked.condition
        if checked.checksums:
            own = KEPT_OBJECT.c.object_key == row["object_key"]
            connection.execute(update(KEPT_OBJECT).where(own).values(**checked.checksums))
        if condition == row["condition"]:
            continue
        # Not if it was purged, replaced, or found out by somebody else meanwhile.
        same = (KEPT_OBJECT.c.object_key == row["object_key"]) & (KEPT_OBJECT.c.condition == row["condition"])
        if connection.execute(update(KEPT_OBJECT).where(same).values(condition=condition)).rowcount:
            served = INSTANCE.c.object_key == row["object_key"]
            connection.execute(update(INSTANCE).where(served).values(condition=condition))
            changed.append((tell_condition(connection, row["object_key"], condition), checked))
    return changed


def tell_condition(connection: Connection, object_key: str, condition: Condition.ValueType) -> str:
    """Add the change of an object's condition to what is being committed; the name of the object."""
    query = kept_objects().where(KEPT_OBJECT.c.object_key == object_key)
    row = dict(connection.execute(query).mappings().one())
    name = kept_name(row)
    kind = _HEALED if condition == OK else _DAMAGED
    record_change(connection, kind, name, digest=row["data_set_sha256"], size_bytes=row["size_bytes"])
    return name
