"""The audit: who took something away, brought it back or decided over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, select

from imaging.database import clock
from imaging.errors import InvalidArgument
from imaging.storage.v1 import storage_admin_pb2
from storage_svc.schema import AUDIT

LONGEST_REASON = 500
Row = Mapping[str, Any]


class Action(StrEnum):
    """What is worth an entry."""

    DELETE = "DELETE"
    RESTORE = "RESTORE"
    PURGE = "PURGE"
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    RESTORE_VERSION = "RESTORE_VERSION"
    ACCEPT = "ACCEPT"
    DISCARD = "DISCARD"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for something, from where, and why."""

    peer: str = ""
    """Address of the caller; empty: the service itself."""

    reason: str = ""
    """In the caller's words."""


BY_ITSELF = Asked()
"""What the service does without being asked."""


def checked_reason(reason: str) -> str:
    """The reason, if it can be kept.

    Raises
    ------
    InvalidArgument
        If it is too long.
    """
    if len(reason) > LONGEST_REASON:
        raise InvalidArgument(
            f"The reason has {len(reason)} characters",
            where="reason",
            hint=f"Give it in at most {LONGEST_REASON}; leave patient data out.",
        )
    return reason


def record_audit(connection: Connection, action: Action, name: str, asked: Asked) -> None:
    """Add an entry to what is being committed; several names are put apart by spaces."""
    connection.execute(
        insert(AUDIT).values(
            create_time=clock.now(), action=action.value, name=name, peer=asked.peer, reason=asked.reason
        )
    )


def audit_entries(connection: Connection, *, before: int, limit: int) -> Sequence[Row]:
    """Up to `limit` entries with ids below `before` (0: the newest), newest first."""
    query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
    if before:
        query = query.where(AUDIT.c.id < before)
    return [dict(row) for row in connection.execute(query).mappings()]


def audit_entry(row: Row) -> storage_admin_pb2.AuditEntry:
    """An entry on the wire."""
    return storage_admin_pb2.AuditEntry(
        create_time=clock.timestamp(row["create_time"]),
        action=storage_admin_pb2.AuditEntry.Action.Value(f"ACTION_{row['action']}"),
        names=row["name"].split(" "),
        peer=row["peer"],
        reason=row["reason"],
    )
