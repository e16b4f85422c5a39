"""Numbers, units and dates are printed as readers expect."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.unit_text import unit_text
from reporting_svc.content.value_text import age_text, date_text, number_text, time_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (4812.345, "4\u00a0812"),
        (-861.97, "−862.0"),
        (18.42, "18.42"),
        (7.4236, "7.42"),
        (0.48711, "0.487"),
        (0.5, "0.5"),
        (1234567.8, "1\u00a0234\u00a0568"),
        (math.nan, "not a number"),
        (-math.inf, "−∞"),
        (1.5e12, "1.500e+12"),
        (2.5e-7, "2.500e−07"),
    ],
)
def test_numbers_have_the_digits_that_matter(value: float, shown: str) -> None:
    assert number_text(value) == shown


@given(st.floats(-1e300, 1e300))
def test_printed_numbers_are_within_half_a_percent_of_the_number(value: float) -> None:
    printed = float(number_text(value).replace("\u00a0", "").replace("−", "-"))
    assert printed == pytest.approx(value, rel=5.1e-3)


def test_units_are_written_as_people_write_them() -> None:
    assert [unit_text(code) for code in ("[hnsf'U]", "mm3", "1", "ml", "{voxels}", "%")] == [
        "HU",
        "mm³",
        "",
        "mL",
        "voxels",
        "%",
    ]


def test_dates_and_ages() -> None:
    assert date_text("20300131") == "2030-01-31"
    assert date_text("yesterday") == "yesterday"
    assert time_text("101530.123") == "10:15"
    assert age_text("19700315", "20300101") == "59 y"
    assert age_text("20240230", "20300101") == ""
    assert age_text("20310101", "20300101") == ""
