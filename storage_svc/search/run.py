"""Runs a search: one page of studies, series or instances, a token for the next, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Select, select, tuple_

from imaging.errors import InvalidArgument
from imaging.rpc.page_token import decode_token, encode_token, query_digest
from storage_svc.names import Name
from storage_svc.schema import INSTANCE, SERIES, STUDY, STUDY_LIST
from storage_svc.search.finder import Finder, Found
from storage_svc.search.keys import SERIES_LEVEL, STUDY_LEVEL
from storage_svc.search.match import matching

MAX_KEYS: Final = 64
"""Of one search: more than there are keywords."""

MAX_SKIP: Final = 1_000_000
"""Whoever goes on so far has page tokens."""

MAX_COUNTED: Final = 10_000
"""Matches that are counted at most."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Search:
    """One search at a level: 1 studies, 2 series, 3 instances."""

    level: int
    parent: Name | None = None
    keys: tuple[tuple[str, str], ...] = ()
    page_size: int = 100
    page_token: str = ""
    skip: int = 0
    count_up_to: int = 0
    oldest_first: bool = False
    separate_date_and_time: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the token of the next page; empty on the last. How many match, if that was asked for."""

    rows: Sequence[Row]
    next_page_token: str
    count: int = 0


def run_search(connection: Connection, search: Search) -> Page:
    """One page of results: studies newest first; below one its series by number, or its instances by series and number.

    Raises
    ------
    InvalidArgument
        For an unknown keyword, a malformed value or token, or a number beyond its limit.
    """
    if len(search.keys) > MAX_KEYS:
        raise InvalidArgument(f"There are more than {MAX_KEYS} keys", where="keys", hint="Ask for less at once.")
    if not 0 <= search.skip <= MAX_SKIP:
        raise InvalidArgument(f"It is not from 0 to {MAX_SKIP}", where="skip", hint="Go on by page token.")
    if not 0 <= search.count_up_to <= MAX_COUNTED:
        raise InvalidArgument(f"It is not from 0 to {MAX_COUNTED}", where="count_up_to", hint="Page through instead.")
    wanted = matching(search.keys, separate_date_and_time=search.separate_date_and_time)
    finder = Finder(search.level, search.parent, wanted, oldest_first=search.oldest_first)
    digest = query_digest(
        search.level,
        str(search.parent or ""),
        sorted(search.keys),
        search.oldest_first,
        search.separate_date_and_time,
    )
    after = decode_token(search.page_token, digest, finder.kinds)
    found = finder.find(connection, after, search.page_size + 1, search.skip)
    page = found[: search.page_size]
    token = encode_token(page[-1].position, digest) if len(found) > len(page) else ""
    count = finder.count(connection, search.count_up_to) if search.count_up_to else 0
    return Page(_rows(connection, search.level, page), token, count)


def _rows(connection: Connection, level: int, page: Sequence[Found]) -> list[Row]:
    keys: Sequence[Column[str]]
    query: Select[Any]
    if level == STUDY_LEVEL:
        keys = [STUDY.c.study_instance_uid]
        listed = STUDY.join(STUDY_LIST, STUDY_LIST.c.study_instance_uid == STUDY.c.study_instance_uid)
        query = select(STUDY, STUDY_LIST.c.modalities).select_from(listed)
    elif level == SERIES_LEVEL:
        keys, query = [SERIES.c.study_instance_uid, SERIES.c.series_instance_uid], select(SERIES)
    else:
        keys, query = [INSTANCE.c.sop_instance_uid], select(INSTANCE)
    query = query.where(tuple_(*keys).in_([at.uids for at in page]))
    rows = {tuple(row[key] for key in keys): dict(row) for row in connection.execute(query).mappings()}
    return [rows[at.uids] for at in page]
