"""The query of a QIDO-RS search (PS3.18 8.3.4): keys by keyword or tag, paging, fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from gateway_svc.dicomweb.representation import one_number
from imaging.errors import InvalidArgument

MAX_RESULTS: Final = 10_000
"""Of one answer; a client that wants more asks with an offset."""

MOST_ASKED: Final = 10**11 - 1
"""As a limit: clients that want all ask for the largest number that they know, of 32 bits or more."""

MAX_OFFSET: Final = 1_000_000

_LISTS: Final = frozenset(
    ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "ModalitiesInStudy", "Modality")
)
"""Keys whose value may be a list; clients put commas or backslashes between."""

_RETURNED_ONLY: Final = frozenset(
    ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances", "RetrieveURL")
)


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for."""

    keys: tuple[tuple[str, str], ...]
    """Keyword and value; all must match."""

    limit: int = MAX_RESULTS
    offset: int = 0
    fuzzy: bool = False
    """Names were asked to be matched fuzzily, which is not done."""


def parse_query(parameters: Iterable[tuple[str, str]], level: int) -> Query:
    """The query of a search at a level: 1 studies, 2 series, 3 instances.

    Fields asked for by `includefield` need no asking: all that the index knows is told. Parameters that are neither
    attributes nor of the Standard are passed over, as proxies and browsers add some.

    Raises
    ------
    InvalidArgument
        If a number is none, or an attribute cannot be matched.
    """
    limit, offset, fuzzy = MAX_RESULTS, 0, False
    values: dict[str, list[str]] = {}
    for name, value in parameters:
        if name == "limit":
            limit = min(one_number(value, least=0, most=MOST_ASKED, where="limit"), MAX_RESULTS)
        elif name == "offset":
            offset = one_number(value, least=0, most=MAX_OFFSET, where="offset")
        elif name == "fuzzymatching":
            fuzzy = value.lower() == "true"
        elif "." in name and all(map(_keyword, name.split("."))):
            if value.strip():  # passed over, it would find all
                raise InvalidArgument(
                    "Attributes within a sequence cannot be searched for",
                    where=f"query: {name}",
                    hint="Search by attributes of study, series or instance.",
                )
        elif keyword := _keyword(name):
            if keyword == "Modality" and level == 1:
                keyword = "ModalitiesInStudy"
            if value.strip():
                values.setdefault(keyword, []).append(_value(keyword, value.strip()))
    for keyword in values.keys() & _RETURNED_ONLY:
        raise InvalidArgument(
            "The attribute is told, but cannot be searched for", where=f"query: {keyword}", hint="Leave its value out."
        )
    keys = tuple((keyword, "\\".join(found)) for keyword, found in values.items())
    return Query(keys, limit, offset, fuzzy)


def _keyword(name: str) -> str:
    """The keyword that a parameter names by itself or by a tag; empty if it is no attribute."""
    if len(name) == 8 and all(sign in "0123456789abcdefABCDEF" for sign in name):
        keyword = str(keyword_for_tag(int(name, 16)))
        if not keyword:
            raise InvalidArgument(
                "The tag is not in the Standard's dictionary",
                where=f"query: {name}",
                hint="Private tags are not indexed.",
            )
        return keyword
    return name if name and name[0].isupper() and tag_for_keyword(name) is not None else ""


def _value(keyword: str, value: str) -> str:
    return value.replace(",", "\\") if keyword in _LISTS else value
