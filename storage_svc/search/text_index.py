"""Narrows a search of studies to candidates by trigrams: nearly all of what cannot match is never looked at.

In SQLite the index is an FTS5 table with the trigram tokenizer whose row ids are the places in the list, so its hits
come newest first, and a page takes what it needs of them, however many there are. In PostgreSQL it is a GIN index of
pg_trgm, whose hits come in no order: there the newest studies are looked at first, and the index is asked when they do
not fill the page. Either only gives candidates; conditions decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    column,
    false,
    select,
    table,
    text,
)

from storage_svc.schema import STUDY_LIST
from storage_svc.search.ordered_join import OrderedJoin
from storage_svc.search.rarest import rarest
from storage_svc.search.wildcard import is_pattern, name_patterns, runs

MARK: Final = "\x02"
"""Stands in the index before the first character of a value, and twice after the last."""

_GRAM: Final = 3
_MOST_GRAMS: Final = 12
"""Trigrams of one run that are asked for; more make nothing rarer."""

_MOST_ALTERNATIVES: Final = 32
"""Values of a list that are asked for; conditions alone decide on longer lists."""

_MOST_TERMS: Final = 64
"""Trigrams that a run of one or two characters may stand for. One with more of them is in many studies, as a rule."""

_AND: Final = " AND "
_NONCHARACTERS = re.compile("[\ufffe\uffff]")  # FTS5 reads them as U+FFFD
_LAST: Final = "\U0010ffff"
_TEXT = table("study_text", column("rowid", BigInteger), column("study_text", String))
_TERMS = text(
    "WITH RECURSIVE found(term) AS ("
    " SELECT (SELECT term FROM study_text_terms WHERE term >= :first LIMIT 1)"
    " UNION ALL"
    " SELECT (SELECT term FROM study_text_terms WHERE term >= found.term || char(1) LIMIT 1)"
    " FROM found WHERE found.term <= :last LIMIT :most)"
    " SELECT term FROM found WHERE term <= :last"
)

Alternatives = list[list[str]]
"""Each is a list of patterns that a match contains all of."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where studies are taken from; `place` is their place in the list, in whose order they come at no cost."""

    tables: FromClause
    place: ColumnElement[int]
    match: ColumnElement[bool] | None = None
    """What the text index is asked."""

    def select(self, *columns: ColumnElement[Any], tables: FromClause | None = None) -> Select[Any]:
        """These columns of all studies of the source, or of its tables joined with more."""
        query = select(*columns).select_from(self.tables if tables is None else tables)
        return query if self.match is None else query.where(self.match)


WHOLE_LIST: Final = Source(STUDY_LIST, STUDY_LIST.c.position)
_NOTHING: Final = Source(STUDY_LIST, STUDY_LIST.c.position, false())
_NOT_WALKED: Final = Source(STUDY_LIST, STUDY_LIST.c.position + 0)
"""The list, for an index other than that of positions to find the studies and a sort to order them."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Where all matches of a search are."""

    first: Source
    """To begin with: each study that is looked at costs little."""

    narrow: Callable[[], Source] | None = None
    """A narrower source, to go on with when too many were looked at, as it costs something to begin with it."""

    def narrowest(self) -> Source:
        """The source to look at all studies of."""
        return self.first if self.narrow is None else self.narrow()


def candidates_of(connection: Connection, values: Mapping[str, str]) -> Candidates:
    """Where all matches of these values, by keyword, are."""
    wanted = {keyword: value for keyword, value in values.items() if keyword in _KEYS}
    if all(_is_found_by_value(*key) for key in wanted.items()):
        return Candidates(WHOLE_LIST)
    patterns = [(_KEYS[keyword][0], _KEYS[keyword][1](value)) for keyword, value in wanted.items()]
    if connection.dialect.name == "postgresql":
        return Candidates(WHOLE_LIST, lambda: _NOT_WALKED)
    long = [len(run) >= _GRAM for _, alternatives in patterns for run in _runs(alternatives)]
    if any(long) or not long:
        return Candidates(_matched(connection, patterns, partial(_terms, connection)))
    return Candidates(WHOLE_LIST, lambda: _matched(connection, patterns, partial(_terms, connection)))


def _terms(connection: Connection, run: str) -> list[str] | None:
    """Trigrams that begin with a run of one or two characters; None if there are too many."""
    asked = {"first": run, "last": run + _LAST * (_GRAM - len(run)), "most": _MOST_TERMS + 2}
    found = list(connection.execute(_TERMS, asked).scalars())
    return found if len(found) <= _MOST_TERMS else None


def _matched(
    connection: Connection, patterns: Sequence[tuple[str, Alternatives]], terms: Callable[[str], list[str] | None]
) -> Source:
    """The studies of which the text index says that they may match."""
    conditions: list[str] = []
    for name, alternatives in patterns:
        if len(alternatives) > _MOST_ALTERNATIVES:
            continue
        grams = _all_grams if len(alternatives) == 1 else _covering_grams
        every = (_alternative(_runs([each]), grams, terms) for each in alternatives)
        possible = [one for one in every if one is not None]
        if not possible:
            return _NOTHING
        if len(possible) == 1:
            conditions += [f"{name} : {part}" for part in possible[0]]
        elif all(possible):
            conditions.append(f"{name} : ({' OR '.join(f'({_AND.join(parts)})' for parts in possible)})")
    if not conditions:
        return WHOLE_LIST
    tables = OrderedJoin(_TEXT, STUDY_LIST, STUDY_LIST.c.position == _TEXT.c.rowid)
    match = _TEXT.c.study_text.op("MATCH", is_comparison=True)(_AND.join(rarest(connection, conditions)))
    return Source(tables, _TEXT.c.rowid, match)


def _alternative(
    wanted: Iterable[str], grams: Callable[[str], list[str]], terms: Callable[[str], list[str] | None]
) -> list[str] | None:
    """What a match of some runs fulfils all of, in the language of FTS5; None if nothing can."""
    parts: list[str] = []
    for run in wanted:
        if len(run) >= _GRAM:
            parts += map(_quoted, grams(run))
        elif (found := terms(run)) is not None:
            if not found:
                return None
            parts.append(f"({' OR '.join(map(_quoted, found))})")
    return list(dict.fromkeys(parts))


def _runs(alternatives: Alternatives) -> list[str]:
    found = [run for patterns in alternatives for pattern in patterns for run in runs(_NONCHARACTERS.sub("?", pattern))]
    return [run for run in dict.fromkeys(found) if run.strip(_MARKS)]


def _all_grams(run: str) -> list[str]:
    """The trigrams of a run."""
    return [run[at : at + _GRAM] for at in range(len(run) - _GRAM + 1)][:_MOST_GRAMS]


def _covering_grams(run: str) -> list[str]:
    """Trigrams that cover a run: every third one, and the last."""
    last = len(run) - _GRAM
    return [run[at : at + _GRAM] for at in [*range(0, last, _GRAM), last][:_MOST_GRAMS]]


def _quoted(gram: str) -> str:
    doubled = gram.replace('"', '""')
    return f'"{doubled}"'


_MARKS: Final = MARK + "=\\"


def _marked(before: str, after: str) -> Callable[[str], Alternatives]:
    return lambda value: [[before + single + after] for single in value.split("\\")]


_plain, _modality = _marked(MARK, MARK), _marked("\\", "\\")
_KEYS: Final[Mapping[str, tuple[str, Callable[[str], Alternatives]]]] = {
    "PatientName": ("patient_name_key", lambda value: [name_patterns(value)]),
    "ReferringPhysicianName": ("referring_physician_name_key", lambda value: [name_patterns(value)]),
    "PatientID": ("patient_id", _plain),
    "AccessionNumber": ("accession_number", _plain),
    "StudyID": ("study_id", _plain),
    "StudyDescription": ("study_description", _plain),
    "PatientSex": ("patient_sex", _plain),
    "ModalitiesInStudy": ("modalities", _modality),
}
"""Column of the index, and the patterns of a value, by keyword."""


def _is_found_by_value(keyword: str, value: str) -> bool:
    """True if an ordinary index finds the value."""
    return keyword in ("PatientID", "AccessionNumber") and not is_pattern(value)
