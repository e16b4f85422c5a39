"""Deleting and restoring studies: softly at first, for good by the sweeper when the grace time is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from imaging.errors import FailedPrecondition
from imaging.storage.v1 import storage_pb2
from storage_svc import clock
from storage_svc.change_log import record_change
from storage_svc.index_studies import recount
from storage_svc.names import Name
from storage_svc.resources import etag
from storage_svc.schema import INSTANCE, KEPT_OBJECT, QUARANTINE, SERIES, STUDY

Kind = storage_pb2.Change.Kind
Row = Mapping[str, Any]


def delete_study(connection: Connection, name: Name, *, expected_etag: str, grace_us: int) -> Row:
    """The row of the study, deleted softly. Deleting it again changes nothing.

    Raises
    ------
    NotFound
        If it is not there.
    FailedPrecondition
        If its etag is another one by now.
    """
    row = _study(connection, name)
    if expected_etag and expected_etag != etag(row):
        raise FailedPrecondition(
            "The study has changed since its etag was read",
            where=str(name),
            hint="Get the study, look whether it is still to be deleted, and send its new etag.",
            metadata={"etag": etag(row)},
        )
    if row["instance_count"] == 0:
        return row
    purge_time = clock.now() + grace_us
    own = INSTANCE.c.study_instance_uid == name.study_instance_uid
    connection.execute(update(INSTANCE).where(own, INSTANCE.c.purge_time.is_(None)).values(purge_time=purge_time))
    recount(connection, name.study_instance_uid)
    values = {"purge_time": purge_time, "quiet_due": None, "manifest_open": False}
    connection.execute(update(STUDY).where(STUDY.c.study_instance_uid == name.study_instance_uid).values(**values))
    record_change(connection, Kind.KIND_STUDY_DELETED, str(name))
    return _study(connection, name)


def restore_study(connection: Connection, name: Name) -> Row:
    """The row of the study with all of its deleted instances back.

    Raises
    ------
    NotFound
        If it is not there, or was purged.
    """
    _study(connection, name)
    own = INSTANCE.c.study_instance_uid == name.study_instance_uid
    restored = connection.execute(
        update(INSTANCE).where(own, INSTANCE.c.purge_time.is_not(None)).values(purge_time=None)
    ).rowcount
    if restored:
        recount(connection, name.study_instance_uid)
        # What came while it was deleted belongs to the set now: let the quiet time decide whether it is a new one.
        values = {"manifest_open": True, "quiet_due": clock.now()}
        connection.execute(update(STUDY).where(STUDY.c.study_instance_uid == name.study_instance_uid).values(**values))
        record_change(connection, Kind.KIND_STUDY_RESTORED, str(name))
    return _study(connection, name)


def due_for_purge(connection: Connection, limit: int) -> list[str]:
    """Studies with instances whose grace time is over."""
    query = select(INSTANCE.c.study_instance_uid).where(INSTANCE.c.purge_time <= clock.now()).distinct().limit(limit)
    return list(connection.execute(query).scalars())


def purge(connection: Connection, study_instance_uid: str) -> list[str]:
    """Forget the instances of a study whose grace time is over; the keys of their objects, which nobody needs now.

    The study goes with its last instance; its manifest versions and the origin of derived UIDs stay remembered.
    """
    own = INSTANCE.c.study_instance_uid == study_instance_uid
    due = own & (INSTANCE.c.purge_time <= clock.now())
    uids = select(INSTANCE.c.sop_instance_uid).where(due)
    # Not by UID alone: what another study sent under it may be in quarantine, and is not ours to drop.
    of_them = KEPT_OBJECT.c.sop_instance_uid.in_(uids) & (KEPT_OBJECT.c.study_instance_uid == study_instance_uid)
    keys = list(connection.execute(select(KEPT_OBJECT.c.object_key).where(of_them)).scalars())
    connection.execute(
        delete(QUARANTINE).where(QUARANTINE.c.object_key.in_(select(KEPT_OBJECT.c.object_key).where(of_them)))
    )
    connection.execute(delete(KEPT_OBJECT).where(of_them))
    connection.execute(delete(INSTANCE).where(due))
    left = connection.execute(select(func.count()).select_from(INSTANCE).where(own)).scalar_one()
    if left == 0:
        connection.execute(delete(SERIES).where(SERIES.c.study_instance_uid == study_instance_uid))
        connection.execute(delete(STUDY).where(STUDY.c.study_instance_uid == study_instance_uid))
        record_change(connection, Kind.KIND_STUDY_DELETED, str(Name(study_instance_uid)))
    return keys


def _study(connection: Connection, name: Name) -> Row:
    query = select(STUDY).where(STUDY.c.study_instance_uid == name.study_instance_uid)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise name.not_found()
    return dict(row)
