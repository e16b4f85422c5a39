"""The manifest of a study: its set of received instances, versioned whenever it is complete and has changed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link
from sqlalchemy import Connection, insert, select, update

from imaging.database import clock
from imaging.dicom.uid import validate_uid
from imaging.errors import FailedPrecondition
from imaging.rpc.tracing import context_of, traceparent_of_current_span
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import record_change
from storage_svc.index.studies import lock_studies
from storage_svc.ingest.origin import RECEIVED
from storage_svc.names import Name, study_name
from storage_svc.schema import INSTANCE, KEPT_OBJECT, MANIFEST, STUDY

_COMPLETED = storage_pb2.Change.KIND_STUDY_COMPLETED
_MAX_LINKS = 128
"""The default of the OpenTelemetry SDK; a study over more associations than this is linked to the first ones."""
_MAX_MISSING = 20


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the sender says it has sent; empty and 0: it does not say."""

    sop_instance_uids: Sequence[str] = ()
    instance_count: int = 0


def complete_study(connection: Connection, study_instance_uid: str, expected: Expectation) -> dict[str, Any]:
    """The study's row with its manifest as it is now; a new version if its set has changed since the last one.

    Raises
    ------
    NotFound
        If no instance of it is there.
    FailedPrecondition
        If expected instances are missing, or it has no received instance.
    InvalidDicom
        If what is expected is no UID.
    """
    own = STUDY.c.study_instance_uid == study_instance_uid
    row = lock_studies(connection, [study_instance_uid]).get(study_instance_uid)
    if row is None or row["instance_count"] == 0:
        raise Name(study_instance_uid).not_found()
    received = connection.execute(
        select(INSTANCE.c.sop_instance_uid, INSTANCE.c.data_set_sha256)
        .where(
            INSTANCE.c.study_instance_uid == study_instance_uid,
            INSTANCE.c.origin_kind == RECEIVED,
            INSTANCE.c.purge_time.is_(None),
        )
        .order_by(INSTANCE.c.sop_instance_uid)
    ).all()
    derived = set() if not expected.sop_instance_uids else _derived(connection, study_instance_uid)
    _check(study_instance_uid, [uid for uid, _ in received], derived, expected)
    digest = manifest_digest((uid, sha256) for uid, sha256 in received)
    values: dict[str, Any] = {"manifest_open": False, "quiet_due": None}
    if digest != row["manifest_digest"]:
        version = row["manifest_version"] + 1
        traceparent = _trace(connection, study_instance_uid, row["manifest_time"], version)
        values |= {
            "manifest_version": version,
            "manifest_count": len(received),
            "manifest_digest": digest,
            "manifest_traceparent": traceparent,
            "manifest_time": clock.now(),
            "update_time": clock.now(),
            "generation": row["generation"] + 1,
        }
        connection.execute(
            insert(MANIFEST).values(
                study_instance_uid=study_instance_uid,
                version=version,
                instance_count=len(received),
                digest=digest,
                complete_time=values["manifest_time"],
                traceparent=traceparent,
            )
        )
        record_change(
            connection,
            _COMPLETED,
            study_name(study_instance_uid),
            digest=digest,
            manifest_version=version,
            traceparent=traceparent,
        )
    connection.execute(update(STUDY).where(own).values(**values))
    return {**row, **values}


def manifest_digest(members: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the sorted SOP Instance UIDs and data set digests, lower-case hex."""
    digest = hashlib.sha256()
    for uid, sha256 in sorted(members):
        digest.update(f"{uid} {sha256}\n".encode("ascii"))
    return digest.hexdigest()


def _derived(connection: Connection, study_instance_uid: str) -> set[str]:
    """Results of ours: a PACS that sends a whole study back lists them too, though they are not in the manifest."""
    query = select(INSTANCE.c.sop_instance_uid).where(
        INSTANCE.c.study_instance_uid == study_instance_uid,
        INSTANCE.c.origin_kind != RECEIVED,
        INSTANCE.c.purge_time.is_(None),
    )
    return set(connection.execute(query).scalars())


def _check(study_instance_uid: str, received: Sequence[str], derived: set[str], expected: Expectation) -> None:
    for uid in expected.sop_instance_uids:
        validate_uid(uid, where="expected_sop_instance_uids", name="An expected SOP Instance UID")
    missing = sorted(set(expected.sop_instance_uids) - set(received) - derived)
    if missing:
        raise FailedPrecondition(
            f"{len(missing)} of {len(set(expected.sop_instance_uids))} expected instances are missing",
            where=study_name(study_instance_uid),
            hint="Send them, then complete the study again.",
            metadata={"missing_sop_instance_uids": " ".join(missing[:_MAX_MISSING]), "missing": str(len(missing))},
        )
    if expected.instance_count > len(received):
        raise FailedPrecondition(
            f"{len(received)} of {expected.instance_count} expected instances are there",
            where=study_name(study_instance_uid),
            hint="Send the missing ones, then complete the study again.",
            metadata={"missing": str(expected.instance_count - len(received))},
        )
    if not received:
        raise FailedPrecondition(
            "The study has no received instances, only results of ours",
            where=study_name(study_instance_uid),
            hint="Send its images first.",
        )


def _trace(connection: Connection, study_instance_uid: str, since: int, version: int) -> str:
    """The trace context that the runs of this version become children of; its span links to the uploads."""
    traceparents = connection.execute(
        select(KEPT_OBJECT.c.traceparent)
        .where(
            KEPT_OBJECT.c.study_instance_uid == study_instance_uid,
            KEPT_OBJECT.c.create_time >= since,
            KEPT_OBJECT.c.traceparent != "",
        )
        .distinct()
        .limit(_MAX_LINKS)
    ).scalars()
    uploads = (trace.get_current_span(context_of(traceparent)).get_span_context() for traceparent in traceparents)
    with trace.get_tracer("storage_svc").start_as_current_span(
        "manifest",
        context=context_of(""),  # a trace of its own: its uploads may be many and far apart
        links=[Link(upload) for upload in uploads if upload.is_valid],
        attributes={"study_instance_uid": study_instance_uid, "manifest_version": version},
    ):
        traceparent = traceparent_of_current_span()
    # Without telemetry there is no span, but the runs still share one trace id.
    return traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
