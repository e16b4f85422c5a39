"""Which version of an instance is served: a person may choose another kept object than the rules of identity did.

The others stay. Where the chosen one names another study or series, the instance moves there with all of its versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from imaging.database.insert_new import insert_new
from imaging.errors import FailedPrecondition
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import record_change
from storage_svc.index.changed_instance import record_stored, touch_study
from storage_svc.index.studies import (
    NewInstance,
    add_to_series,
    add_to_studies,
    lock_or_make_studies,
    lock_studies,
    recount,
)
from storage_svc.index.writer import Overtaken
from storage_svc.ingest.arrival import Arrival
from storage_svc.ingest.known import known_instances
from storage_svc.ingest.origin import FROM_OUTSIDE, RECEIVED, OriginOf
from storage_svc.keeping.object_check import OK
from storage_svc.keeping.verified_object import damaged
from storage_svc.lifecycle.delete import settle
from storage_svc.lifecycle.legal_hold import require_no_hold
from storage_svc.lifecycle.purge import forget_empty_series, forget_empty_study
from storage_svc.names import Name
from storage_svc.resources import etag
from storage_svc.schema import INSTANCE, KEPT_OBJECT

_DELETED = storage_pb2.Change.KIND_INSTANCE_DELETED
Row = Mapping[str, Any]


def lock_current(connection: Connection, arrival: Arrival) -> Row | None:
    """The row of the instance under the UID, deleted or not, locked with its study and the one that is named.

    Raises
    ------
    Overtaken
        If it moves to another study just now.
    """
    uid = arrival.examined.sop_instance_uid
    query = select(INSTANCE).where(INSTANCE.c.sop_instance_uid == uid)
    found = connection.execute(query).mappings().first()
    studies = {arrival.examined.study_instance_uid} | ({found["study_instance_uid"]} if found else set())
    lock_studies(connection, studies)
    current = connection.execute(query.with_for_update()).mappings().first()
    if current is not None and current["study_instance_uid"] not in studies:
        raise Overtaken
    return None if current is None else dict(current)


def require_etag(current: Row | None, expected: str) -> None:
    """Pass if the instance is still what the caller has looked at.

    Raises
    ------
    FailedPrecondition
        If its etag is another one by now.
    """
    if expected and (current is None or expected != etag(current)):
        raise FailedPrecondition(
            "The instance has changed since its etag was read",
            where="etag",
            hint="Get the instance, look whether it is still to be replaced, and send its new etag.",
            metadata={} if current is None else {"etag": etag(current)},
        )


def make_current(
    connection: Connection, current: Row | None, arrival: Arrival, version: int, quiet_time_us: int
) -> Row:
    """The row of the instance, whose served object is now that of `arrival`, as `version`.

    Parameters
    ----------
    current
        What `lock_current` has given.
    arrival
        A kept object that was examined again.

    Raises
    ------
    OnHold
        If the instance would leave a study that is under legal hold.
    DataLoss
        If the object was found damaged meanwhile.
    Overtaken
        If another one is stored under the UID just now, or the object was purged.
    """
    key = KEPT_OBJECT.c.object_key == arrival.object_key
    kept = connection.execute(select(KEPT_OBJECT).where(key).with_for_update()).mappings().first()
    if kept is None:
        raise Overtaken
    if kept["condition"] != OK:
        raise damaged(dict(kept))
    connection.execute(update(KEPT_OBJECT).where(key).values(version=version))
    origin = _origin(connection, current, arrival)
    row = {**arrival.instance_columns, **origin.columns, "version": version}
    if current is not None and _place(current) == _place(row):
        connection.execute(update(INSTANCE).where(INSTANCE.c.sop_instance_uid == row["sop_instance_uid"]).values(**row))
        touch_study(connection, arrival, origin, quiet_time_us)
    else:
        if current is not None:
            _leave(connection, current, row["study_instance_uid"], quiet_time_us)
        _enter(connection, row, NewInstance(arrival, origin), quiet_time_us)
    record_stored(connection, arrival, origin)
    return row


def _leave(connection: Connection, current: Row, new_study: str, quiet_time_us: int) -> None:
    """Take the instance out of its place. What is left there is counted anew, or forgotten if that is nothing."""
    study, series, uid = _place(current)
    require_no_hold(lock_studies(connection, [study])[study])
    connection.execute(delete(INSTANCE).where(INSTANCE.c.sop_instance_uid == uid))
    # Purging finds the objects of an instance by its study.
    versions = (KEPT_OBJECT.c.sop_instance_uid == uid) & (KEPT_OBJECT.c.version > 0)
    connection.execute(update(KEPT_OBJECT).where(versions).values(study_instance_uid=new_study))
    was_live = current["purge_time"] is None
    if was_live:
        recount(connection, study, series)
        record_change(connection, _DELETED, str(Name(study, series, uid)))
    if study == new_study:
        forget_empty_series(connection, study)
    elif not forget_empty_study(connection, study) and was_live:
        settle(connection, Name(study, series, uid), current["origin_kind"] == RECEIVED, quiet_time_us)


def _enter(connection: Connection, row: Row, new: NewInstance, quiet_time_us: int) -> None:
    studies = lock_or_make_studies(connection, [new])
    if not insert_new(connection, INSTANCE, [row], all_new=True):
        raise Overtaken
    add_to_studies(connection, [new], studies, add_to_series(connection, [new]), quiet_time_us)


def _origin(connection: Connection, current: Row | None, arrival: Arrival) -> OriginOf:
    """Where the UID came from when it was first seen: a result of ours stays one."""
    if current is not None:
        parts = ("origin_kind", "origin_run", "origin_stage", "origin_attempt")
        return OriginOf(*(current[name] for name in parts))
    (known,) = known_instances(connection, [arrival.examined.sop_instance_uid])
    return known.origin or FROM_OUTSIDE


def _place(row: Row) -> tuple[str, str, str]:
    return row["study_instance_uid"], row["series_instance_uid"], row["sop_instance_uid"]
