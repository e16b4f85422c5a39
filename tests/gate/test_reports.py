"""The gate before reports: the rows of their template, and the places of what they tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from imaging.errors import ObjectRefused
from imaging.gate.check import Outgoing, check_object
from reporting_svc.dicom.structured_report import structured_report
from tests.gate.made_objects import (
    damaged,
    sample_report,
)
from tests.reporting.sample_report import placed_content
from tests.reporting.test_structured_report import UIDS, _sources


def _group(dataset: Dataset) -> Dataset:
    measurements = next(item for item in dataset.ContentSequence if _code(item) == "126010")
    return measurements.ContentSequence[0]


def _code(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _without(parent: Dataset, code: str) -> None:
    parent.ContentSequence = [item for item in parent.ContentSequence if _code(item) != code]


def _number(dataset: Dataset) -> Dataset:
    return next(item for item in _group(dataset).ContentSequence if item.ValueType == "NUM")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: _without(d, "121058"), "template: TID 1500 lacks CODE 121058"),
        (lambda d: _without(_group(d), "112040"), "CONTAINER 125007 lacks UIDREF 112040"),
        (lambda d: setattr(_number(d), "RelationshipType", "HAS PROPERTIES"), "has no row in the template"),
        (lambda d: _number(d).MeasuredValueSequence[0].__delattr__("MeasurementUnitsCodeSequence"), "with a unit"),
        (lambda d: d.__delattr__("CurrentRequestedProcedureEvidenceSequence"), "not in the evidence"),
        (lambda d: d.__delattr__("ContentTemplateSequence"), "there is no template named"),
        (lambda d: setattr(d, "VerificationFlag", "VERIFIED"), "VerifyingObserverSequence is missing although"),
        (lambda d: d.__delattr__("CompletionFlag"), "CompletionFlag (type 1) has no value"),
    ],
)
def test_a_damaged_report_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(damaged(sample_report(), damage)))
    assert told in refused.value.text


def _drawn(dataset: Dataset) -> Dataset:
    """The first region of the report on an image."""
    groups = next(item for item in dataset.ContentSequence if _code(item) == "126010").ContentSequence
    return next(item for group in groups for item in group.ContentSequence if item.ValueType == "SCOORD")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.__delattr__("ContentSequence"), "SCOORD 111030 lacks IMAGE"),
        (lambda d: setattr(d, "GraphicData", [1.0, 2.0, 3.0]), "SCOORD 111030 has no coordinates"),
        (lambda d: setattr(d, "GraphicData", [-5.0, 2.0]), "SCOORD 111030 has no coordinates"),
        (
            lambda d: setattr(d.ContentSequence[0].ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
            "evidence",
        ),
    ],
)
def test_a_damaged_place_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    content = structured_report(placed_content(), _sources(), UIDS)
    assert check_object(Outgoing(content)).compared["template"] > 100
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(damaged(content, lambda dataset: damage(_drawn(dataset)))))
    assert told in refused.value.text
