"""Purging: what was deleted softly and whose grace time is over is forgotten for good."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, func, select

from imaging.database import clock
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import record_change
from storage_svc.index.studies import lock_studies
from storage_svc.lifecycle.audit import BY_ITSELF, Action, record_audit
from storage_svc.names import Name
from storage_svc.schema import INSTANCE, KEPT_OBJECT, METADATA_SEGMENT, QUARANTINE, SERIES, STUDY

_DELETED = storage_pb2.Change.KIND_STUDY_DELETED


def due_for_purge(connection: Connection, limit: int) -> list[str]:
    """Studies with instances whose grace time is over, but for those under legal hold."""
    held = exists().where(STUDY.c.study_instance_uid == INSTANCE.c.study_instance_uid, STUDY.c.hold_time.is_not(None))
    query = (
        select(INSTANCE.c.study_instance_uid).where(INSTANCE.c.purge_time <= clock.now(), ~held).distinct().limit(limit)
    )
    return list(connection.execute(query).scalars())


def purge(connection: Connection, study_instance_uid: str) -> list[str]:
    """Forget the instances of a study whose grace time is over; the keys of their objects, which nobody needs now.

    The study goes with its last instance; its manifest versions and the origin of derived UIDs stay remembered.
    """
    study = lock_studies(connection, [study_instance_uid]).get(study_instance_uid)
    if study is None or study["hold_time"] is not None:
        return []  # purged by another process, or set since it was found to be due
    due = (INSTANCE.c.study_instance_uid == study_instance_uid) & (INSTANCE.c.purge_time <= clock.now())
    uids = select(INSTANCE.c.sop_instance_uid).where(due)
    # Not by UID alone: what another study sent under it may be in quarantine, and is not ours to drop.
    of_them = KEPT_OBJECT.c.sop_instance_uid.in_(uids) & (KEPT_OBJECT.c.study_instance_uid == study_instance_uid)
    keys = list(connection.execute(select(KEPT_OBJECT.c.object_key).where(of_them)).scalars())
    connection.execute(
        delete(QUARANTINE).where(QUARANTINE.c.object_key.in_(select(KEPT_OBJECT.c.object_key).where(of_them)))
    )
    connection.execute(delete(KEPT_OBJECT).where(of_them))
    # Segments of what stays are written again when somebody asks.
    connection.execute(delete(METADATA_SEGMENT).where(METADATA_SEGMENT.c.study_instance_uid == study_instance_uid))
    purged = connection.execute(delete(INSTANCE).where(due)).rowcount
    if purged:
        record_audit(connection, Action.PURGE, str(Name(study_instance_uid)), BY_ITSELF)
    forget_empty_study(connection, study_instance_uid)
    return keys


def forget_empty_study(connection: Connection, study_instance_uid: str) -> bool:
    """Forget a study that has no instance, not even a deleted one, and series of it that have none; True if it went."""
    forget_empty_series(connection, study_instance_uid)
    left = select(func.count()).select_from(INSTANCE).where(INSTANCE.c.study_instance_uid == study_instance_uid)
    if connection.execute(left).scalar_one():
        return False
    connection.execute(delete(METADATA_SEGMENT).where(METADATA_SEGMENT.c.study_instance_uid == study_instance_uid))
    connection.execute(delete(STUDY).where(STUDY.c.study_instance_uid == study_instance_uid))
    record_change(connection, _DELETED, str(Name(study_instance_uid)))
    return True


def forget_empty_series(connection: Connection, study_instance_uid: str) -> None:
    """Forget the series of a study that have no instance, not even a deleted one."""
    has_instances = exists().where(
        INSTANCE.c.study_instance_uid == SERIES.c.study_instance_uid,
        INSTANCE.c.series_instance_uid == SERIES.c.series_instance_uid,
    )
    connection.execute(delete(SERIES).where(SERIES.c.study_instance_uid == study_instance_uid, ~has_instances))
