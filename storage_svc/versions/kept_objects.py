"""Rows of kept objects with the names that they have: versions of instances, and what is in quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal_column, select

from imaging.database.clock import timestamp
from imaging.storage.v1 import storage_admin_pb2
from storage_svc.names import Name, instance_name
from storage_svc.schema import INSTANCE, KEPT_OBJECT, QUARANTINE
from storage_svc.versions.kept_name import kept_name

Row = Mapping[str, Any]
_HEAVY = ("pixels", "frames", "piece_checksums")
IS_DAMAGED = KEPT_OBJECT.c.condition != literal_column("1")
"""As the index over damaged objects has it, word for word: it is not used for a parameter."""

_OWN = [column for column in KEPT_OBJECT.c if column.name not in _HEAVY]


def kept_objects() -> Select[Any]:
    """All kept objects, each with the instance that is stored under its UID, if one is."""
    return select(
        *_OWN,
        INSTANCE.c.study_instance_uid.label("stored_study"),
        INSTANCE.c.series_instance_uid.label("stored_series"),
        INSTANCE.c.object_key.label("served_key"),
        INSTANCE.c.purge_time.label("purge_time"),
    ).join(INSTANCE, INSTANCE.c.sop_instance_uid == KEPT_OBJECT.c.sop_instance_uid, isouter=True)


def is_below(name: Name) -> ColumnElement[bool]:
    """True for all objects of a study, series or instance: its versions, and what names it or its UID in quarantine."""
    stored = INSTANCE.c.study_instance_uid == name.study_instance_uid
    claimed = QUARANTINE.c.study_instance_uid == name.study_instance_uid
    if name.series_instance_uid:
        stored &= INSTANCE.c.series_instance_uid == name.series_instance_uid
        claimed &= QUARANTINE.c.series_instance_uid == name.series_instance_uid
    if name.sop_instance_uid:
        stored &= INSTANCE.c.sop_instance_uid == name.sop_instance_uid
        claimed &= QUARANTINE.c.sop_instance_uid == name.sop_instance_uid
    of_instances = select(INSTANCE.c.sop_instance_uid).where(stored).correlate(None)
    in_quarantine = select(QUARANTINE.c.object_key).where(claimed).correlate(None)
    return KEPT_OBJECT.c.sop_instance_uid.in_(of_instances) | KEPT_OBJECT.c.object_key.in_(in_quarantine)


def is_kept(connection: Connection, object_key: str) -> bool:
    """True while a row names the object."""
    query = select(KEPT_OBJECT.c.object_key).where(KEPT_OBJECT.c.object_key == object_key)
    return connection.execute(query).first() is not None


def kept_object(row: Row) -> storage_admin_pb2.KeptObject:
    """A row of `kept_objects` on the wire."""
    found = storage_admin_pb2.KeptObject(
        name=kept_name(row),
        version=row["version"],
        served=row["served_key"] == row["object_key"],
        object_key=row["object_key"],
        size_bytes=row["size_bytes"],
        data_set_sha256=row["data_set_sha256"],
        object_crc32c=row["object_crc32c"] or 0,
        transfer_syntax_uid=row["transfer_syntax_uid"],
        source=row["source"],
        create_time=timestamp(row["create_time"]),
        verify_time=timestamp(row["verify_time"]),
        condition=row["condition"],
    )
    if row["stored_study"] is not None:
        found.instance = instance_name(row["stored_study"], row["stored_series"], row["sop_instance_uid"])
    return found
