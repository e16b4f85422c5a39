"""What is in quarantine, and why: kept aside until somebody accepts or discards it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, tuple_

from imaging.storage.v1 import storage_admin_pb2
from storage_svc.ingest.contradiction import contradiction_of
from storage_svc.names import Name, instance_name
from storage_svc.schema import INSTANCE, KEPT_OBJECT, QUARANTINE
from storage_svc.versions.kept_name import no_such_quarantined, quarantine_id, quarantine_name
from storage_svc.versions.kept_objects import kept_object, kept_objects

Row = Mapping[str, Any]


def quarantined_instances(
    connection: Connection, parent: Name | None, before: tuple[int, str] | None, limit: int
) -> list[Row]:
    """Rows of `kept_objects` with claim and reason, newest first.

    Parameters
    ----------
    parent
        What names it, and what is under the UID of one of its instances; None: everything.
    before
        Time and key of the last one of the page before.
    """
    query = _quarantined().order_by(QUARANTINE.c.create_time.desc(), QUARANTINE.c.object_key.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(QUARANTINE.c.create_time, QUARANTINE.c.object_key) < tuple_(*before))
    if parent is not None:
        uids = [
            (table.c.study_instance_uid == parent.study_instance_uid)
            & ((table.c.series_instance_uid == parent.series_instance_uid) if parent.series_instance_uid else True)
            & ((table.c.sop_instance_uid == parent.sop_instance_uid) if parent.sop_instance_uid else True)
            for table in (QUARANTINE, INSTANCE)
        ]
        query = query.where(uids[0] | uids[1])
    return [dict(row) for row in connection.execute(query).mappings()]


def find_quarantined(connection: Connection, wanted_id: str) -> Row | None:
    """The row of a quarantined instance, if it is there."""
    query = _quarantined().where(QUARANTINE.c.object_key.endswith(f"_{wanted_id}.dcm", autoescape=True))
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def require_quarantined(connection: Connection, wanted_id: str) -> Row:
    """The row of a quarantined instance.

    Raises
    ------
    NotFound
        If it is not there, or somebody has decided over it.
    """
    row = find_quarantined(connection, wanted_id)
    if row is None:
        raise no_such_quarantined(wanted_id)
    return row


def quarantined_instance(row: Row) -> storage_admin_pb2.QuarantinedInstance:
    """A row of these functions on the wire."""
    return storage_admin_pb2.QuarantinedInstance(
        name=quarantine_name(quarantine_id(row["object_key"])),
        claimed_instance=instance_name(row["claimed_study"], row["claimed_series"], row["sop_instance_uid"]),
        reason=contradiction_of(row["contradiction"]),
        object=kept_object(row),
    )


def _quarantined() -> Select[Any]:
    return (
        kept_objects()
        .add_columns(
            QUARANTINE.c.study_instance_uid.label("claimed_study"),
            QUARANTINE.c.series_instance_uid.label("claimed_series"),
            QUARANTINE.c.reason.label("contradiction"),
        )
        .join(QUARANTINE, QUARANTINE.c.object_key == KEPT_OBJECT.c.object_key)
    )
