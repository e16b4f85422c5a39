"""The queue of the scrub: all kept objects, the one that was verified the longest ago first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from storage_svc.keeping.object_check import DIFFERING, MISSING
from storage_svc.schema import KEPT_OBJECT, SCRUB
from storage_svc.versions.kept_objects import IS_DAMAGED

Row = Mapping[str, Any]
_COLUMNS = tuple(
    KEPT_OBJECT.c[name]
    for name in (
        "object_key",
        "size_bytes",
        "data_set_sha256",
        "data_set_offset",
        "header_end",
        "inflated",
        "object_crc32c",
        "verify_time",
        "condition",
    )
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Objects and their bytes."""

    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ScrubState:
    """How far the scrub is."""

    kept: Amount
    oldest_verify_time: int | None
    overdue: int
    missing: int
    differing: int
    wanted_time: int
    """What was verified before is to be verified anew; 0: nothing is."""

    wanted: Amount


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of the queue."""

    rows: Sequence[Row]
    wanted_time: int
    damaged: Mapping[int, int]
    """How many objects are damaged, by condition."""


def head_of_queue(connection: Connection, limit: int) -> Head:
    """The objects whose turn is next, and what else whoever verifies them must know."""
    query = select(*_COLUMNS).order_by(KEPT_OBJECT.c.verify_time, KEPT_OBJECT.c.object_key).limit(limit)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return Head(rows, _wanted_time(connection), _damaged_counts(connection))


def with_keys(connection: Connection, keys: Sequence[str]) -> list[Row]:
    """These objects, as far as they are there."""
    query = select(*_COLUMNS).where(KEPT_OBJECT.c.object_key.in_(keys))
    return [dict(row) for row in connection.execute(query).mappings()]


def kept_amount(connection: Connection, verified_before: int | None = None) -> Amount:
    """All objects, or those that were verified before a time; reads an index, not the rows."""
    query = select(func.count(), func.coalesce(func.sum(KEPT_OBJECT.c.size_bytes), 0)).select_from(KEPT_OBJECT)
    if verified_before is not None:
        query = query.where(KEPT_OBJECT.c.verify_time < verified_before)
    objects, size = connection.execute(query).one()
    return Amount(int(objects), int(size))


def want(connection: Connection, before: int) -> None:
    """Let everything that was verified before a time be verified anew."""
    if connection.execute(update(SCRUB).values(wanted_time=before)).rowcount == 0:
        connection.execute(insert(SCRUB).values(id=1, wanted_time=before))


def _damaged_counts(connection: Connection) -> dict[int, int]:
    query = select(KEPT_OBJECT.c.condition, func.count()).where(IS_DAMAGED).group_by(KEPT_OBJECT.c.condition)
    return {condition: int(count) for condition, count in connection.execute(query)}


def scrub_state(connection: Connection, overdue_before: int) -> ScrubState:
    """How far the scrub is; what was verified before `overdue_before` is late."""
    damaged = _damaged_counts(connection)
    wanted = _wanted_time(connection)
    left = kept_amount(connection, wanted) if wanted else Amount(0, 0)
    return ScrubState(
        kept=kept_amount(connection),
        oldest_verify_time=connection.execute(select(func.min(KEPT_OBJECT.c.verify_time))).scalar(),
        overdue=kept_amount(connection, overdue_before).objects,
        missing=damaged.get(MISSING, 0),
        differing=damaged.get(DIFFERING, 0),
        wanted_time=wanted if left.objects else 0,
        wanted=left,
    )


def _wanted_time(connection: Connection) -> int:
    return connection.execute(select(SCRUB.c.wanted_time)).scalar() or 0
