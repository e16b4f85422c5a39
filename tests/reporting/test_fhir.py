"""The FHIR document: valid R4 resources that say what the report says, with its codes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle  # R4's resources that are used here are the same in R4B

from reporting_svc.content.report_content import CodedConcept, ReportContent, SeriesUse
from reporting_svc.fhir.bundle import render_fhir
from tests.reporting.sample_report import STUDY_UID, sample_content

PDF = b"%PDF-1.4 sample"
SERIES = [
    SeriesUse("1.2.3", 4, "CT", "Thorax", 120, derived=False),
    SeriesUse("1.2.4", 1004, "CT", "Thorax iso 1 mm", 300, derived=True),
]


def _bundle(content: ReportContent | None = None) -> dict[str, Any]:
    bundle: dict[str, Any] = json.loads(render_fhir(content or sample_content(), SERIES, PDF))
    return bundle


def _resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] == kind]


def test_the_bundle_keeps_to_the_definitions_of_the_resources() -> None:
    bundle = _bundle()
    parsed = Bundle.model_validate(bundle)
    assert json.loads(parsed.model_dump_json(exclude_none=True)) is not None
    kinds = [each["resource"]["resourceType"] for each in bundle["entry"]]
    assert kinds[:4] == ["DiagnosticReport", "Patient", "ImagingStudy", "Device"]
    assert set(kinds[4:]) == {"Observation"}
    with pytest.raises(ValueError, match="status"):
        del bundle["entry"][0]["resource"]["status"]
        Bundle.model_validate(bundle)


def test_every_reference_is_to_a_resource_of_the_bundle() -> None:
    bundle = _bundle()
    urls = [each["fullUrl"] for each in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    text = json.dumps(bundle)
    named = {part.split('"')[0] for part in text.split('"reference": "')[1:]}
    assert named <= set(urls)
    (report,) = _resources(bundle, "DiagnosticReport")
    members = [each for item in _resources(bundle, "Observation") for each in item.get("hasMember", ())]
    reached = {each["reference"] for each in (*report["result"], *members)}
    assert reached == set(urls[4:])


def test_every_measurement_stands_in_it_with_value_unit_and_codes() -> None:
    content, bundle = sample_content(), _bundle()
    told = [
        (each["code"]["text"], each["valueQuantity"]["value"], each["valueQuantity"].get("code", ""))
        for each in _resources(bundle, "Observation")
        if "valueQuantity" in each
    ]
    expected = [
        (
            each.concept.meaning + ("" if each.concept.scheme in ("SCT", "DCM") else f" ({each.concept.scheme})"),
            each.value,
            each.unit.value if each.unit else "",
        )
        for group in content.groups
        for each in group.measurements
        if each.value is not None and math.isfinite(each.value)
    ]
    assert told == expected
    systems = {
        coding.get("system", "")
        for item in _resources(bundle, "Observation")
        for coding in item["code"].get("coding", ())
    }
    assert "http://snomed.info/sct" in systems
    units = {
        each["valueQuantity"].get("system") for each in _resources(bundle, "Observation") if "valueQuantity" in each
    }
    assert "http://unitsofmeasure.org" in units
    (report,) = _resources(bundle, "DiagnosticReport")
    assert [coding["system"] for coding in report["code"]["coding"]] == [
        "http://loinc.org",
        "http://dicom.nema.org/resources/ontology/DCM",
    ]


def test_what_was_not_measured_says_so() -> None:
    content = sample_content()
    absent = [each for each in _resources(_bundle(content), "Observation") if "dataAbsentReason" in each]
    refused = [each for each in absent if each["dataAbsentReason"]["coding"][0]["code"] == "not-performed"]
    assert [each["code"]["text"] for each in refused] == [each.subject for each in content.refusals]
    assert not any("valueQuantity" in each for each in absent)


def test_numbers_that_are_none_have_a_reason_instead_of_a_value() -> None:
    content = sample_content()
    first = content.groups[0]
    odd = tuple(replace(first.measurements[0], value=value) for value in (math.nan, math.inf, -math.inf))
    bundle = _bundle(replace(content, groups=(replace(first, measurements=odd),), refusals=()))
    Bundle.model_validate(bundle)
    reasons = [
        each["dataAbsentReason"]["coding"][0]["code"]
        for each in _resources(bundle, "Observation")
        if "dataAbsentReason" in each
    ]
    assert reasons == ["not-a-number", "positive-infinity", "negative-infinity"]


def test_the_study_is_that_which_was_received() -> None:
    (study,) = _resources(_bundle(), "ImagingStudy")
    assert study["identifier"][0] == {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}
    assert [series["uid"] for series in study["series"]] == ["1.2.3"]
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 120)


def test_the_same_report_gives_the_same_bytes_and_bad_dates_are_left_out() -> None:
    assert render_fhir(sample_content(), SERIES, PDF) == render_fhir(sample_content(), SERIES, PDF)
    content = sample_content()
    odd = replace(
        content,
        patient=replace(content.patient, birth_date="19701332", sex="X"),
        study=replace(content.study, study_date="yesterday"),
        groups=(replace(content.groups[0], finding_type=CodedConcept("1", "99X", "Thing")),),
    )
    bundle = _bundle(odd)
    Bundle.model_validate(bundle)
    (patient,) = _resources(bundle, "Patient")
    assert patient["gender"] == "unknown"
    assert "birthDate" not in patient
    assert "started" not in _resources(bundle, "ImagingStudy")[0]
