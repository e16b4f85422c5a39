"""Objects that storage keeps: versions of instances, and what is in quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp

from imaging.storage.v1 import storage_admin_pb2

Condition = Literal["unspecified", "ok", "missing", "differing"]


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object that must stay: a version of an instance, or a quarantined instance."""

    name: str
    instance: str
    version: int
    """0 in quarantine."""

    served: bool
    object_key: str
    size_bytes: int
    data_set_sha256: str
    transfer_syntax_uid: str
    source: str
    """Who sent it: an AE title, a client name."""

    condition: Condition
    create_time: datetime | None
    verify_time: datetime | None
    """None: never since it was stored."""


def kept_object(message: storage_admin_pb2.KeptObject) -> KeptObject:
    """It from the wire."""
    words: dict[int, Condition] = {1: "ok", 2: "missing", 3: "differing"}
    return KeptObject(
        message.name,
        message.instance,
        message.version,
        message.served,
        message.object_key,
        message.size_bytes,
        message.data_set_sha256,
        message.transfer_syntax_uid,
        message.source,
        words.get(message.condition, "unspecified"),
        time_of(message.create_time),
        time_of(message.verify_time),
    )


def time_of(message: Timestamp) -> datetime | None:
    """A time from the wire, UTC; None for one that was not given."""
    return message.ToDatetime(UTC) if message.seconds or message.nanos else None
