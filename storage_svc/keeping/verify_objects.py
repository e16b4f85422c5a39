"""Verifying what is kept now, because somebody asks for it: all of it, or what is below some names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, or_, select, true

from imaging.database import Database, clock
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_admin_service_pb2 as pb
from storage_svc.keeping.condition_record import ConditionRecord
from storage_svc.keeping.object_check import OK, Checked, check_content, check_size
from storage_svc.names import Name
from storage_svc.schema import KEPT_OBJECT
from storage_svc.versions.kept_objects import is_below, kept_object, kept_objects

_PAGE: Final = 500
_GROUP_OBJECTS, _GROUP_BYTES = 100, 64 * 1024 * 1024
"""What is verified, recorded and told together."""

_AT_ONCE: Final = 4
"""Objects that are read at the same time, a piece of each in memory."""

Row = Mapping[str, Any]


async def verify_objects(
    database: Database, store: ObjectStore, record: ConditionRecord, names: Sequence[Name], *, only_size: bool
) -> AsyncGenerator[pb.VerifyObjectsResponse]:
    """What was found, as it is found.

    Parameters
    ----------
    names
        Studies, series or instances; none: everything.
    only_size
        Look only whether the objects are there with their size.

    Raises
    ------
    NotFound
        If nothing of a name is kept.
    Unavailable
        If the object store does not answer.
    """
    which = or_(*map(is_below, names)) if names else true()
    told = pb.VerifyObjectsResponse()
    told.objects_total, told.bytes_total = await database.read(partial(_amount, names=names, which=which))
    yield told
    check = check_size if only_size else check_content
    after = ""
    while rows := await database.read(partial(_page, which=which, after=after)):
        after = rows[-1]["object_key"]
        for group in _groups(rows):
            free = asyncio.Semaphore(_AT_ONCE)

            async def one(row: Row, free: asyncio.Semaphore = free) -> Checked:
                async with free:
                    return await check(store, row)

            outcomes = await asyncio.gather(*map(one, group), return_exceptions=True)
            checks = [outcome for outcome in outcomes if isinstance(outcome, Checked)]
            await record.keep(checks, verified=not only_size)
            told.objects_done += len(checks)
            told.bytes_done += sum(checked.row["size_bytes"] for checked in checks)
            del told.damaged[:], told.recovered[:]
            for checked in checks:
                row = {**checked.row, "condition": checked.condition, "verify_time": clock.now()}
                if checked.condition != OK:
                    told.damaged.append(kept_object(row))
                elif checked.row["condition"] != OK:
                    told.recovered.append(kept_object(row))
            yield told
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome


def _amount(connection: Connection, names: Sequence[Name], which: ColumnElement[bool]) -> tuple[int, int]:
    for name in names:
        if connection.execute(kept_objects().where(is_below(name)).limit(1)).first() is None:
            raise name.not_found()
    query = select(func.count(), func.coalesce(func.sum(KEPT_OBJECT.c.size_bytes), 0)).where(which)
    objects, size = connection.execute(query).one()
    return int(objects), int(size)


def _page(connection: Connection, which: ColumnElement[bool], after: str) -> list[Row]:
    query = kept_objects().where(which, KEPT_OBJECT.c.object_key > after).order_by(KEPT_OBJECT.c.object_key)
    return [dict(row) for row in connection.execute(query.limit(_PAGE)).mappings()]


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in rows:
        if group and (len(group) == _GROUP_OBJECTS or size + row["size_bytes"] > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += row["size_bytes"]
    yield group
