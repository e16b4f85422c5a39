"""Legal hold: a study that must stay can be neither deleted nor purged, nor lose a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, update

from imaging.database import clock
from imaging.errors import OnHold
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import record_change
from storage_svc.index.studies import lock_studies
from storage_svc.lifecycle.audit import Action, Asked, record_audit
from storage_svc.names import Name, study_name
from storage_svc.schema import STUDY

_CHANGED = storage_pb2.Change.KIND_STUDY_CHANGED
Row = Mapping[str, Any]


def study_for_update(connection: Connection, name: Name) -> Row:
    """The row of a study, deleted or not, held until the commit.

    Raises
    ------
    NotFound
        If it is not there.
    """
    row = lock_studies(connection, [name.study_instance_uid]).get(name.study_instance_uid)
    if row is None:
        raise Name(name.study_instance_uid).not_found()
    return row


def require_no_hold(row: Row) -> None:
    """Pass if the study is not under legal hold.

    Raises
    ------
    OnHold
        If it is.
    """
    if row["hold_time"] is not None:
        raise OnHold(
            "The study is under legal hold",
            where=study_name(row["study_instance_uid"]),
            hint="Whoever set the hold has to release it first: `imaging storage hold --release`.",
        )


def set_hold(connection: Connection, study: Row, asked: Asked) -> None:
    """Put a study under hold with the reason given; held already, only the reason changes."""
    if study["hold_time"] is not None and study["hold_reason"] == asked.reason:
        return
    since = clock.now() if study["hold_time"] is None else study["hold_time"]
    _write(connection, study, {"hold_time": since, "hold_reason": asked.reason})
    record_audit(connection, Action.HOLD, study_name(study["study_instance_uid"]), asked)


def release_hold(connection: Connection, study: Row, asked: Asked) -> None:
    """Let a study go; nothing happens if it is not held."""
    if study["hold_time"] is None:
        return
    _write(connection, study, {"hold_time": None, "hold_reason": None})
    record_audit(connection, Action.RELEASE, study_name(study["study_instance_uid"]), asked)


def _write(connection: Connection, study: Row, values: Mapping[str, Any]) -> None:
    uid = study["study_instance_uid"]
    connection.execute(
        update(STUDY)
        .where(STUDY.c.study_instance_uid == uid)
        .values(**values, generation=STUDY.c.generation + 1, update_time=clock.now())
    )
    record_change(connection, _CHANGED, study_name(uid))
