"""Segments as rows of the database, and which instances a series has now."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from imaging.database import clock
from storage_svc.keeping.object_check import OK
from storage_svc.metadata.gzip_stream import Deflated
from storage_svc.metadata.segment import Entry, Segment, content_name, entries_from_bytes, entries_to_bytes
from storage_svc.names import Name
from storage_svc.schema import INSTANCE, METADATA_SEGMENT, NO_NUMBER, SERIES

MODEL_VERSION: Final = 1
"""Grows when the models of the same headers become others: segments of another version are not used."""


class SeriesKey(NamedTuple):
    """A series of a study."""

    study_instance_uid: str
    series_instance_uid: str


class Live(NamedTuple):
    """An instance that is there, with the name of its content."""

    sop_instance_uid: str
    content: str


class Listing(NamedTuple):
    """What is known of a segment without reading it."""

    entries: tuple[Entry, ...]
    size_bytes: int
    """Compressed."""


def live_series(connection: Connection, name: Name) -> list[SeriesKey]:
    """The series below a study, a series or an instance, in the order in which their instances are given out."""
    query = (
        select(SERIES.c.study_instance_uid, SERIES.c.series_instance_uid)
        .where(SERIES.c.study_instance_uid == name.study_instance_uid, SERIES.c.instance_count > 0)
        .order_by(SERIES.c.series_instance_uid)
    )
    if name.series_instance_uid:
        query = query.where(SERIES.c.series_instance_uid == name.series_instance_uid)
    return [SeriesKey(*row) for row in connection.execute(query)]


def live_instances(connection: Connection, series: SeriesKey, sop_instance_uid: str = "") -> list[Live]:
    """The instances of a series by instance number."""
    number = func.coalesce(INSTANCE.c.instance_number, NO_NUMBER)
    query = (
        select(INSTANCE.c.sop_instance_uid, INSTANCE.c.data_set_sha256)
        .where(
            INSTANCE.c.study_instance_uid == series.study_instance_uid,
            INSTANCE.c.series_instance_uid == series.series_instance_uid,
            INSTANCE.c.purge_time.is_(None),
        )
        .order_by(number, INSTANCE.c.sop_instance_uid)
    )
    if sop_instance_uid:
        query = query.where(INSTANCE.c.sop_instance_uid == sop_instance_uid)
    return [Live(uid, content_name(digest)) for uid, digest in connection.execute(query)]


def damaged_instances(connection: Connection, of: Sequence[SeriesKey]) -> list[Mapping[str, Any]]:
    """The instances of these series whose objects are known to be damaged."""
    columns = (INSTANCE.c.sop_instance_uid, INSTANCE.c.object_key, INSTANCE.c.condition)
    found: list[Mapping[str, Any]] = []
    for series in of:
        query = select(*columns).where(
            INSTANCE.c.study_instance_uid == series.study_instance_uid,
            INSTANCE.c.series_instance_uid == series.series_instance_uid,
            INSTANCE.c.condition != OK,
        )
        found += [dict(row) for row in connection.execute(query).mappings()]
    return found


def list_segments(connection: Connection, series: SeriesKey) -> dict[str, Listing]:
    """The segments of a series by their ids."""
    query = select(METADATA_SEGMENT.c.segment_id, METADATA_SEGMENT.c.entries, METADATA_SEGMENT.c.size_bytes).where(
        _of(series), METADATA_SEGMENT.c.model_version == MODEL_VERSION
    )
    return {row[0]: Listing(entries_from_bytes(row[1]), row[2]) for row in connection.execute(query)}


def load_segments(connection: Connection, segment_ids: Collection[str]) -> dict[str, Segment]:
    """These segments, as far as they are still there."""
    table = METADATA_SEGMENT.c
    query = select(
        table.segment_id,
        table.entries,
        table.models,
        table.models_bytes,
        table.models_crc32,
        table.models_shift,
        table.headers,
    ).where(table.segment_id.in_(list(segment_ids)))
    return {
        row[0]: Segment(entries_from_bytes(row[1]), Deflated(row[2], row[3], row[4], row[5]), row[6])
        for row in connection.execute(query)
    }


def add_segments(connection: Connection, series: SeriesKey, segments: Sequence[Segment]) -> None:
    """Keep new segments of a series.

    One that holds an instance which was purged meanwhile is dropped: nothing would ever remove it.
    """
    for segment in segments:
        uids = [entry.sop_instance_uid for entry in segment.entries]
        there = select(func.count()).where(
            INSTANCE.c.sop_instance_uid.in_(uids), INSTANCE.c.study_instance_uid == series.study_instance_uid
        )
        if connection.execute(there).scalar_one() == len(uids):
            connection.execute(insert(METADATA_SEGMENT).values(**_row(series, segment)))


def remove_segments(connection: Connection, series: SeriesKey, kept: Collection[str], known: Collection[str]) -> None:
    """Remove those of the `known` segments of a series that are not `kept`, and all of another version."""
    table = METADATA_SEGMENT.c
    connection.execute(delete(METADATA_SEGMENT).where(_of(series), table.model_version != MODEL_VERSION))
    superseded = [segment_id for segment_id in known if segment_id not in kept]
    for start in range(0, len(superseded), 500):
        batch = superseded[start : start + 500]
        connection.execute(delete(METADATA_SEGMENT).where(table.segment_id.in_(batch)))


def _of(series: SeriesKey):  # type: ignore[no-untyped-def]  # a condition of SQLAlchemy
    table = METADATA_SEGMENT.c
    return (table.study_instance_uid == series.study_instance_uid) & (
        table.series_instance_uid == series.series_instance_uid
    )


def _row(series: SeriesKey, segment: Segment) -> Mapping[str, object]:
    return {
        "segment_id": secrets.token_hex(16),
        "study_instance_uid": series.study_instance_uid,
        "series_instance_uid": series.series_instance_uid,
        "model_version": MODEL_VERSION,
        "entries": entries_to_bytes(segment.entries),
        "size_bytes": segment.size_bytes,
        "models": segment.models.content,
        "models_bytes": segment.models.size_bytes,
        "models_crc32": segment.models.crc32,
        "models_shift": segment.models.shift,
        "headers": segment.headers,
        "create_time": clock.now(),
    }
