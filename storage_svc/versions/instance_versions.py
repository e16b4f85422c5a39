"""The versions of an instance: the one that is served, and those that were replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select

from imaging.errors import NotFound
from imaging.storage.v1 import storage_admin_pb2
from storage_svc import resources
from storage_svc.names import Name
from storage_svc.schema import INSTANCE, KEPT_OBJECT, RESOLUTION
from storage_svc.versions.kept_name import kept_name, quarantine_id, version_name
from storage_svc.versions.kept_objects import kept_object, kept_objects

Reason = storage_admin_pb2.InstanceVersion.Reason
Row = Mapping[str, Any]
_ORIGIN = [column for column in INSTANCE.c if column.name.startswith("origin_")]


def instance_versions(connection: Connection, instance: Name, before: int | None, limit: int) -> list[Row]:
    """Rows of `kept_objects` with origin and reason, newest first, also of an instance that is softly deleted.

    Parameters
    ----------
    before
        The last version of the page before.

    Raises
    ------
    NotFound
        If there is no such instance.
    """
    query = _versions(instance).order_by(KEPT_OBJECT.c.version.desc()).limit(limit)
    if before is not None:
        query = query.where(KEPT_OBJECT.c.version < before)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    if not rows and before is None:
        raise instance.not_found()
    return _with_reasons(connection, rows)


def require_version(connection: Connection, instance: Name, version: int) -> Row:
    """The row of one version.

    Raises
    ------
    NotFound
        If it is not kept.
    """
    row = connection.execute(_versions(instance).where(KEPT_OBJECT.c.version == version)).mappings().first()
    if row is None:
        raise NotFound(
            "There is no such version",
            where=version_name(instance, version),
            hint="`imaging storage versions list` tells those that are kept.",
        )
    (found,) = _with_reasons(connection, [dict(row)])
    return found


def next_version(connection: Connection, sop_instance_uid: str) -> int:
    """The number of a new version: numbers are never used twice, also while an older version is served."""
    newest = select(func.max(KEPT_OBJECT.c.version)).where(KEPT_OBJECT.c.sop_instance_uid == sop_instance_uid)
    return int(connection.execute(newest).scalar() or 0) + 1


def instance_version(row: Row) -> storage_admin_pb2.InstanceVersion:
    """A row of these functions on the wire."""
    return storage_admin_pb2.InstanceVersion(
        name=kept_name(row), reason=row["version_reason"], origin=resources.origin(row), object=kept_object(row)
    )


def _versions(instance: Name) -> Select[Any]:
    return (
        kept_objects()
        .add_columns(*_ORIGIN)
        .where(
            KEPT_OBJECT.c.version > 0,
            INSTANCE.c.sop_instance_uid == instance.sop_instance_uid,
            INSTANCE.c.study_instance_uid == instance.study_instance_uid,
            INSTANCE.c.series_instance_uid == instance.series_instance_uid,
        )
    )


def _with_reasons(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    ids = {row["object_key"]: quarantine_id(row["object_key"]) for row in rows}
    query = select(RESOLUTION.c.quarantine_id).where(RESOLUTION.c.quarantine_id.in_(list(ids.values())))
    accepted = set(connection.execute(query).scalars())

    def reason(row: Row) -> Reason.ValueType:
        if ids[row["object_key"]] in accepted:
            return Reason.REASON_ACCEPTED
        return Reason.REASON_STORED if row["version"] == 1 else Reason.REASON_CORRECTED

    return [{**row, "version_reason": reason(row)} for row in rows]
