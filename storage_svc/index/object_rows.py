"""Instances with what is needed to read their objects, in pages: a study of any size takes constant memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, select

from imaging.database import Database
from imaging.errors import NotFound
from storage_svc.index.live import live_instance, live_series, live_study
from storage_svc.names import Name
from storage_svc.schema import INSTANCE, KEPT_OBJECT
from storage_svc.search.run import Search, run_search

_PAGE = 200
Row = Mapping[str, Any]
_LAYOUT = tuple(
    KEPT_OBJECT.c[name] for name in ("data_set_offset", "header_end", "inflated", "pixels", "frames", "piece_checksums")
)
_BY_UID = (
    select(INSTANCE, *_LAYOUT)
    .join(KEPT_OBJECT, KEPT_OBJECT.c.object_key == INSTANCE.c.object_key)
    .where(INSTANCE.c.sop_instance_uid.in_(bindparam("uids", expanding=True)), INSTANCE.c.purge_time.is_(None))
)
"""Made once: making it takes longer than asking SQLite for one instance."""


async def instances_below(database: Database, name: Name) -> AsyncGenerator[Row]:
    """Rows of all instances of a study, series or instance, by series and instance number.

    Raises
    ------
    NotFound
        If nothing of that name is there.
    """
    if name.level == 3:
        yield await database.read(lambda connection: live_instance(connection, name))
        return
    live = live_study if name.level == 1 else live_series
    await database.read(lambda connection: live(connection, name))
    token = ""
    while True:
        search = Search(3, name, (), _PAGE, token)
        page = await database.read(partial(run_search, search=search))
        for row in page.rows:
            yield row
        token = page.next_page_token
        if not token:
            return


async def with_layout(database: Database, rows: Sequence[Row]) -> list[Row]:
    """The same rows with where the parts of their objects are."""

    def read(connection: Connection) -> dict[str, Row]:
        keys = [row["object_key"] for row in rows]
        query = select(KEPT_OBJECT.c.object_key, *_LAYOUT).where(KEPT_OBJECT.c.object_key.in_(keys))
        return {found["object_key"]: dict(found) for found in connection.execute(query).mappings()}

    layouts = await database.read(read)
    return [{**row, **layouts[row["object_key"]]} for row in rows]


async def instances_by_uid(database: Database, sop_instance_uids: Sequence[str]) -> list[Row]:
    """Rows of these instances, in the same order, with where the parts of their objects are.

    Raises
    ------
    NotFound
        If one of them is not there any more.
    """

    def read(connection: Connection) -> dict[str, Row]:
        found = connection.execute(_BY_UID, {"uids": list(sop_instance_uids)})
        columns = tuple(found.keys())  # zipped: `mappings` takes twice as long
        rows = (dict(zip(columns, row, strict=True)) for row in found)
        return {row["sop_instance_uid"]: row for row in rows}

    found = await database.read(read)
    for uid in sop_instance_uids:
        if uid not in found:
            raise NotFound("There is no such instance", where=uid, hint="It was never stored, or is deleted.")
    return [found[uid] for uid in sop_instance_uids]
