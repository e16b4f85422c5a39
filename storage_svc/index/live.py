"""The row of a study, series or instance that is there, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, select

from storage_svc.names import Name
from storage_svc.schema import INSTANCE, SERIES, STUDY, STUDY_LIST

Row = Mapping[str, Any]


def live_study(connection: Connection, name: Name) -> Row:
    """The row of a study that is there, with its modalities.

    Raises
    ------
    NotFound
        If it is not, or is deleted.
    """
    uid = STUDY.c.study_instance_uid
    listed = STUDY.join(STUDY_LIST, STUDY_LIST.c.study_instance_uid == uid)
    query = select(STUDY, STUDY_LIST.c.modalities).select_from(listed).where(uid == name.study_instance_uid)
    return _one(connection, query, name)


def live_series(connection: Connection, name: Name) -> Row:
    """The row of a series that is there; raises as `live_study`."""
    query = select(SERIES).where(
        SERIES.c.study_instance_uid == name.study_instance_uid,
        SERIES.c.series_instance_uid == name.series_instance_uid,
        SERIES.c.instance_count > 0,
    )
    return _one(connection, query, name)


def live_instance(connection: Connection, name: Name) -> Row:
    """The row of an instance that is there; raises as `live_study`."""
    query = select(INSTANCE).where(
        INSTANCE.c.sop_instance_uid == name.sop_instance_uid,
        INSTANCE.c.study_instance_uid == name.study_instance_uid,
        INSTANCE.c.series_instance_uid == name.series_instance_uid,
        INSTANCE.c.purge_time.is_(None),
    )
    return _one(connection, query, name)


def _one(connection: Connection, query: Select[Any], name: Name) -> Row:
    row = connection.execute(query).mappings().first()
    if row is None:
        raise name.not_found()
    return dict(row)
