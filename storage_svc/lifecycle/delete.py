"""Deleting and restoring studies, series and instances: softly; `purge` takes them for good.

What goes with a study or series comes back with it. What had been deleted by itself before stays deleted then: a wrong
image must not come back because its study does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from imaging.database import clock
from imaging.errors import FailedPrecondition
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import record_change
from storage_svc.index.studies import opened_manifest, recount
from storage_svc.ingest.origin import RECEIVED
from storage_svc.lifecycle.audit import Action, Asked, record_audit
from storage_svc.lifecycle.legal_hold import require_no_hold, study_for_update
from storage_svc.names import Name
from storage_svc.resources import etag
from storage_svc.schema import INSTANCE, SERIES, STUDY

Kind = storage_pb2.Change.Kind
_DELETED = {1: Kind.KIND_STUDY_DELETED, 2: Kind.KIND_SERIES_DELETED, 3: Kind.KIND_INSTANCE_DELETED}
_RESTORED = {1: Kind.KIND_STUDY_RESTORED, 2: Kind.KIND_SERIES_RESTORED, 3: Kind.KIND_INSTANCE_RESTORED}
_IS_DELETED = INSTANCE.c.purge_time.is_not(None)
Row = Mapping[str, Any]


def delete(
    connection: Connection, name: Name, asked: Asked, *, expected_etag: str, grace_us: int, quiet_time_us: int
) -> Row:
    """The row of what was deleted softly. Deleting it again changes nothing.

    A study that loses received instances and keeps others has another set then: its manifest opens.

    Raises
    ------
    NotFound
        If it is not there.
    OnHold
        If the study is under legal hold.
    FailedPrecondition
        If its etag is another one by now.
    """
    study = study_for_update(connection, name)
    row = _row(connection, name)
    require_no_hold(study)
    if expected_etag and expected_etag != etag(row):
        raise FailedPrecondition(
            f"The {name.kind} has changed since its etag was read",
            where=str(name),
            hint=f"Get the {name.kind}, look whether it is still to be deleted, and send its new etag.",
            metadata={"etag": etag(row)},
        )
    going = _below(name) & ~_IS_DELETED
    received = _any_received(connection, going)
    deleted = connection.execute(
        update(INSTANCE).where(going).values(purge_time=clock.now() + grace_us, deleted_level=name.level)
    ).rowcount
    if deleted:
        recount(connection, name.study_instance_uid, name.series_instance_uid)
        record_change(connection, _DELETED[name.level], str(name))
        settle(connection, name, received, quiet_time_us)
        record_audit(connection, Action.DELETE, str(name), asked)
    return _row(connection, name)


def restore(connection: Connection, name: Name, asked: Asked, *, quiet_time_us: int) -> Row:
    """The row of what is back, with all below it but what had been deleted by itself.

    Raises
    ------
    NotFound
        If it is not there, or was purged.
    FailedPrecondition
        If all that is left of it had been deleted by itself.
    """
    study_for_update(connection, name)
    _row(connection, name)
    coming = _below(name) & _IS_DELETED & (INSTANCE.c.deleted_level <= name.level)
    received = _any_received(connection, coming)
    restored = connection.execute(update(INSTANCE).where(coming).values(purge_time=None, deleted_level=0)).rowcount
    if restored:
        recount(connection, name.study_instance_uid, name.series_instance_uid)
        if received:
            _open_manifest(connection, name, quiet_time_us)
        record_change(connection, _RESTORED[name.level], str(name))
        record_audit(connection, Action.RESTORE, str(name), asked)
    elif connection.execute(select(INSTANCE.c.sop_instance_uid).where(_below(name), ~_IS_DELETED)).first() is None:
        raise FailedPrecondition(
            f"All of the {name.kind} was deleted in parts",
            where=str(name),
            hint="Restore its series or instances by their names.",
        )
    return _row(connection, name)


def settle(connection: Connection, name: Name, received: bool, quiet_time_us: int) -> None:
    """After instances of a study went: one without a live instance counts as deleted, another may have another set."""
    uid = name.study_instance_uid
    own = STUDY.c.study_instance_uid == uid
    if connection.execute(select(STUDY.c.instance_count).where(own)).scalar_one():
        if received:
            _open_manifest(connection, name, quiet_time_us)
        return
    last = select(func.max(INSTANCE.c.purge_time)).where(INSTANCE.c.study_instance_uid == uid).scalar_subquery()
    connection.execute(update(STUDY).where(own).values(purge_time=last, quiet_due=None, manifest_open=False))
    if name.level > 1:
        record_change(connection, Kind.KIND_STUDY_DELETED, str(Name(uid)))


def _open_manifest(connection: Connection, name: Name, quiet_time_us: int) -> None:
    own = STUDY.c.study_instance_uid == name.study_instance_uid
    connection.execute(update(STUDY).where(own).values(**opened_manifest(quiet_time_us)))


def _below(name: Name) -> ColumnElement[bool]:
    below = INSTANCE.c.study_instance_uid == name.study_instance_uid
    if name.series_instance_uid:
        below &= INSTANCE.c.series_instance_uid == name.series_instance_uid
    if name.sop_instance_uid:
        below &= INSTANCE.c.sop_instance_uid == name.sop_instance_uid
    return below


def _any_received(connection: Connection, which: ColumnElement[bool]) -> bool:
    query = select(INSTANCE.c.sop_instance_uid).where(which, INSTANCE.c.origin_kind == RECEIVED).limit(1)
    return connection.execute(query).first() is not None


def _row(connection: Connection, name: Name) -> Row:
    """The row of a study, series or instance, deleted or not; a deleted series with its purge time."""
    if name.level == 1:
        return study_for_update(connection, name)
    table = SERIES if name.level == 2 else INSTANCE
    query = select(table).where(
        table.c.study_instance_uid == name.study_instance_uid, table.c.series_instance_uid == name.series_instance_uid
    )
    if name.level == 3:
        query = query.where(INSTANCE.c.sop_instance_uid == name.sop_instance_uid)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise name.not_found()
    if name.level == 2 and row["instance_count"] == 0:
        last = connection.execute(select(func.max(INSTANCE.c.purge_time)).where(_below(name))).scalar()
        return {**row, "purge_time": last}
    return dict(row)
