"""What follows when another version of a known instance is served: counts, attributes and manifest of its study."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import record_change
from storage_svc.index.studies import changed_attributes, opened_manifest, recount
from storage_svc.ingest.arrival import Arrival
from storage_svc.ingest.origin import RECEIVED, OriginOf
from storage_svc.schema import STUDY
from storage_svc.search.study_list import update_list

_STORED = storage_pb2.Change.KIND_INSTANCE_STORED


def touch_study(connection: Connection, arrival: Arrival, origin: OriginOf, quiet_time_us: int) -> None:
    """Count series and study anew; a received instance opens the manifest and tells the attributes of the study.

    The study must be locked.
    """
    uid = arrival.examined.study_instance_uid
    recount(connection, uid, arrival.examined.series_instance_uid)
    if origin.kind == RECEIVED:
        study = connection.execute(select(STUDY).where(STUDY.c.study_instance_uid == uid)).mappings().one()
        changed = changed_attributes(connection, study, arrival)
        values = {**opened_manifest(quiet_time_us), **changed}
        connection.execute(update(STUDY).where(STUDY.c.study_instance_uid == uid).values(**values))
        if changed:
            update_list(connection, [uid])


def record_stored(connection: Connection, arrival: Arrival, origin: OriginOf) -> None:
    """Tell the change log that this is served now."""
    record_change(
        connection,
        _STORED,
        str(arrival.name),
        digest=arrival.examined.data_set_sha256,
        size_bytes=arrival.examined.size_bytes,
        origin=origin.parts,
        traceparent=arrival.traceparent,
    )
