"""Foreign text is bounded, on one line, and cannot steer a screen."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting_svc.content.plain_text import clean_text, person_name


@given(st.text(max_size=300), st.integers(2, 60))
def test_clean_text_holds_no_sign_that_steers_and_is_bounded(text: str, max_chars: int) -> None:
    clean = clean_text(text, max_chars)
    assert len(clean) <= max_chars
    assert not any(unicodedata.category(sign) in {"Cc", "Cf", "Cs"} for sign in clean)
    assert clean == clean_text(clean, max_chars)


def test_escape_sequences_and_bidirectional_overrides_are_replaced() -> None:
    assert clean_text("a\x1b[31mb\u202ec\u2066d\x00") == "a\ufffd[31mb\ufffdc\ufffdd\ufffd"


def test_ten_megabytes_become_a_short_line() -> None:
    assert clean_text("x" * 10_000_000, 64) == "x" * 63 + "…"


def test_letters_of_every_script_stay() -> None:
    assert clean_text("Łukasz Ζωή Жанна 山田 محمد") == "Łukasz Ζωή Жанна 山田 محمد"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Doe^Jane^M^Dr.^PhD", "Doe, Dr. Jane M, PhD"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田 太郎, やまだ たろう)"),
        ("=山田^太郎", "山田, 太郎"),
        ("Single", "Single"),
        ("^^^^", ""),
        ("", ""),
    ],
)
def test_person_names_are_written_as_people_read_them(value: str, shown: str) -> None:
    assert person_name(value) == shown
