"""DICOM's codes and UIDs in FHIR's data types (https://hl7.org/fhir/R4/datatypes.html)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from reporting_svc.content.report_content import CodedConcept

_SYSTEMS: Final = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "FMA": "http://purl.org/sig/ont/fma",
    "RADLEX": "http://radlex.org",
    "UMLS": "http://terminology.hl7.org/CodeSystem/umls",
    "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "IBSI": "urn:oid:1.2.840.10008.2.16.13",
}
"""URI of a coding scheme by its designator (PS3.16 8). Private ones have none: their codes come without a system, and
the designator stands in the text."""


def coding(concept: CodedConcept) -> dict[str, Any]:
    """A Coding."""
    told = {"code": concept.value, "display": concept.meaning}
    return {"system": _SYSTEMS[concept.scheme], **told} if concept.scheme in _SYSTEMS else told


def codeable(concept: CodedConcept) -> dict[str, Any]:
    """A CodeableConcept with the meaning as its text."""
    scheme = "" if concept.scheme in _SYSTEMS else f" ({concept.scheme})"
    return {"coding": [coding(concept)], "text": f"{concept.meaning}{scheme}"}


def quantity(value: float, unit: CodedConcept | None) -> dict[str, Any]:
    """A Quantity with its UCUM code."""
    if unit is None:
        return {"value": value}
    told: dict[str, Any] = {"value": value, "unit": unit.meaning or unit.value}
    if unit.scheme == "UCUM":
        told |= {"system": _SYSTEMS["UCUM"], "code": unit.value}
    return told


def instant(time: datetime) -> str:
    """An instant, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def identifier_of_uid(uid: str) -> dict[str, Any]:
    """A DICOM UID as an Identifier (https://hl7.org/fhir/R4/imagingstudy.html#notes)."""
    return {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
