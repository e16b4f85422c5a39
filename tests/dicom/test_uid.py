"""UIDs: strict, and derived ones that never change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID

from imaging.dicom.uid import derived_uid, is_valid_uid, validate_uid
from imaging.errors import InvalidDicom


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "0.0", "2.25.0", "1", "1." + "2" * 62])
def test_valid_uid_passes(uid: str) -> None:
    assert validate_uid(uid) == uid


@pytest.mark.parametrize(
    ("uid", "rule"),
    [
        ("", "empty"),
        ("1." + "2" * 63, "65 characters"),
        ("1.02", "leading zero"),
        ("1..2", "empty component"),
        (".1", "empty component"),
        ("1.2\n", "other than ASCII digits"),
        ("١.٢", "other than ASCII digits"),
        ("1/2", "other than ASCII digits"),
        ("../x", "other than ASCII digits"),
        ("1.2\0", "other than ASCII digits"),
    ],
)
def test_invalid_uid_is_refused_with_the_rule(uid: str, rule: str) -> None:
    with pytest.raises(InvalidDicom, match=rule):
        validate_uid(uid, where="(0008,0018), byte 0")


@given(st.text(alphabet="0123456789.", max_size=66))
@settings(max_examples=200, deadline=None)
def test_the_rule_is_that_of_pydicom(uid: str) -> None:
    assert is_valid_uid(uid) == UID(uid).is_valid


def test_derived_uids_never_change() -> None:
    assert derived_uid("a", 1) == "2.25.300319337529998155809681659890729253875"


@given(
    st.lists(st.text(max_size=5) | st.integers(), max_size=3), st.lists(st.text(max_size=5) | st.integers(), max_size=3)
)
@settings(max_examples=200, deadline=None)
def test_derived_uids_are_valid_and_differ_with_their_parts(first: list[str | int], second: list[str | int]) -> None:
    assert is_valid_uid(derived_uid(*first))
    assert (derived_uid(*first) == derived_uid(*second)) == (first == second)
