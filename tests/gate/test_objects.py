"""The gate lets sound objects pass and says what is wrong with others: each damage is done to an object of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread

from imaging.errors import ObjectRefused
from imaging.gate import generate
from imaging.gate.answer import gate_answer
from imaging.gate.check import Outgoing, Passed, check_object
from tests.gate.made_objects import (
    damaged,
    sample_pdf,
    sample_report,
)


@pytest.mark.parametrize("make", [sample_report, sample_pdf])
def test_documents_pass(make: Callable[[], bytes]) -> None:
    passed = check_object(Outgoing(make()))
    assert passed.compared["attributes"] > 20
    assert passed.largest_deviation_mm is None
    assert ("template" in passed.compared) == (make is sample_report)


def test_the_answer_counts_over_all_objects_of_a_class() -> None:
    one = Passed("1.2.3", {"attributes": 30, "places": 2}, 0.25)
    checks = gate_answer([one, replace(one, largest_deviation_mm=0.5), Passed("1.2.4", {"attributes": 5}, None)])
    assert [(check.sop_class_uid, check.object_count, dict(check.compared)) for check in checks] == [
        ("1.2.3", 2, {"attributes": 60, "places": 4}),
        ("1.2.4", 1, {"attributes": 5}),
    ]
    assert checks[0].largest_deviation_mm == 0.5
    assert not checks[1].HasField("largest_deviation_mm")


def test_a_refusal_tells_nothing_of_the_patient() -> None:
    content = damaged(sample_report(), lambda d: d.__delattr__("VerificationFlag"))
    patient = dcmread(BytesIO(content))
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(content))
    assert str(patient.PatientName) not in refused.value.text
    assert str(patient.PatientID) not in refused.value.text


def test_the_table_is_that_of_the_standard() -> None:
    """In a process of its own: the tables take 200 MiB."""
    made = subprocess.run(
        [sys.executable, "-c", "from imaging.gate import generate; print(generate.text(), end='')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == generate.TABLE.read_text()
