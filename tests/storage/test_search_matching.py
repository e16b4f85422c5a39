"""What a search finds is what a plain matcher finds, whatever the values, the patterns and the way there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imaging.database.backend import Backend
from storage_svc.search import finder, rarest
from tests.database.databases import Databases
from tests.storage.plain_matcher import DATES, NAMES, TEXTS, matches
from tests.storage.search_index import clear, empty_index, found, put

PIECES = [*"aAbnN01%_\"'()^= :-+{}.,\\*?", "an", "ANN", "AND", "äß", "ﬁ", "é", "山", "田", "😀", "\ufffe", "\x02", "\n"]
DAYS = ["", "19700101", "20251231", "20260101", "20260102"]
SEXES = ["", "F", "M", "O"]

text = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
one_value = text.map(lambda value: value.replace("\\", ""))
study = st.fixed_dictionaries(
    {
        **dict.fromkeys(NAMES.values(), text),
        **dict.fromkeys(TEXTS.values(), one_value),
        "patient_sex": st.sampled_from(SEXES),
        "patient_birth_date": st.sampled_from(DAYS),
        "study_date": st.sampled_from(DAYS),
        "study_time": st.sampled_from(["", "10", "1015", "101500.5", "235960"]),
        "modalities": st.lists(st.sampled_from(["CT", "MR", "C", "CR", "SR"]), max_size=3, unique=True),
    }
)
day_range = st.sampled_from([*DAYS[1:], "20260101-", "-20251231", "20251231-20260101", "*"])


@st.composite
def key(draw: st.DrawFn, stored: list[dict[str, Any]]) -> tuple[str, str]:
    """A key: a stored value, whole or in part, with wildcards put into it; or anything."""
    keyword = draw(st.sampled_from([*NAMES, *TEXTS, *DATES, "ModalitiesInStudy"]))
    if keyword in DATES:
        return keyword, draw(day_range)
    if keyword == "ModalitiesInStudy":
        return keyword, draw(st.sampled_from(["CT", "C*", "?R", "C?", "CT\\MR", "*R", "C*R", "XX", "*"]))
    values = [entry[{**NAMES, **TEXTS}[keyword]] for entry in stored]
    value = draw(st.sampled_from(values) if values and draw(st.booleans()) else text)
    begin, end = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    part = list(value[begin : len(value) - end])
    for at in draw(st.lists(st.integers(0, 8), max_size=2)):
        part[at : at + 1] = draw(st.sampled_from(["*", "?", "**", "\\"]))
    return keyword, draw(st.sampled_from(["", "*"])) + "".join(part) + draw(st.sampled_from(["", "*"]))


@st.composite
def stored_and_asked(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, str]]:
    stored = draw(st.lists(study, max_size=6))
    return stored, dict(draw(st.lists(key(stored), min_size=1, max_size=3)))


@pytest.fixture
def index(tmp_path: Path, databases: Databases) -> Iterator[Backend]:
    with empty_index(databases.access(tmp_path)) as backend:
        yield backend


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(stored_and_asked(), st.sampled_from([0, 1, 3, finder.WINDOW]), st.sampled_from([1, 2, 100]))
@example(([], {"PatientName": "*an*"}), 0, 1)
def test_a_search_finds_what_a_plain_matcher_finds(
    index: Backend, stored_and_asked: tuple[list[dict[str, Any]], dict[str, str]], window: int, page_size: int
) -> None:
    stored, asked = stored_and_asked
    with index.writer.connect() as connection, connection.begin():
        clear(connection)
        uids = put(connection, stored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finder, "WINDOW", window)
        patch.setattr(rarest, "_SAMPLE", min(window, 3))
        page_by_page = found(index, list(asked.items()), page_size=page_size)
    matching = [number for number, entry in enumerate(stored) if matches(entry, asked)]
    newest_first = sorted(matching, key=lambda number: (_moment(stored[number]), number), reverse=True)
    assert page_by_page == [uids[number] for number in newest_first]


def _moment(entry: dict[str, Any]) -> tuple[str, str]:
    """What orders studies: date, and time to the second."""
    return entry["study_date"], entry["study_date"] and entry["study_time"][:6].ljust(6, "0")
