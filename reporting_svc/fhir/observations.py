"""Findings as FHIR R4 Observations (https://hl7.org/fhir/R4/observation.html)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reporting_svc.content.report_content import CodedConcept, FindingGroup, Measurement, Refusal
from reporting_svc.fhir.types import codeable, identifier_of_uid, quantity

_FINDING: Final = CodedConcept("121071", "DCM", "Finding")
_IMAGING: Final = [
    {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": "imaging",
                "display": "Imaging",
            }
        ]
    }
]
_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"


def group_observations(
    group: FindingGroup, member_urls: Sequence[str], common: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """One Observation for the thing that was found, then one for each of its measurements.

    Parameters
    ----------
    member_urls
        Of the measurements, in their order; the first Observation names them as its members.
    common
        Subject, device and what else all Observations share.
    """
    thing = _observation(common)
    thing["code"] = codeable(_FINDING)
    thing["valueCodeableConcept"] = codeable(group.finding_type) if group.finding_type else {"text": group.label}
    thing["hasMember"] = [{"reference": url} for url in member_urls]
    yield _about(thing, group)
    for measurement in group.measurements:
        yield _about(_measurement(measurement, common), group)


def refusal_observation(refusal: Refusal, common: Mapping[str, Any]) -> dict[str, Any]:
    """What was not measured, with the reason as a note."""
    resource = _observation(common)
    resource["code"] = {"text": refusal.subject or refusal.stage}
    resource["dataAbsentReason"] = {**_absent("not-performed"), "text": refusal.rule or "not performed"}
    notes = [text for text in (refusal.message, refusal.hint) if text]
    if notes:
        resource["note"] = [{"text": text} for text in notes]
    return resource


def _observation(common: Mapping[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "preliminary", "category": _IMAGING, **common}


def _about(resource: dict[str, Any], group: FindingGroup) -> dict[str, Any]:
    """The thing that the Observations of a group share: its tracking UID and where it is."""
    if group.tracking_uid:
        resource["identifier"] = [{**identifier_of_uid(group.tracking_uid), "use": "secondary"}]
    if group.site:
        resource["bodySite"] = codeable(group.site)
    return resource


def _measurement(measurement: Measurement, common: Mapping[str, Any]) -> dict[str, Any]:
    resource = _observation(common)
    resource["code"] = codeable(measurement.concept)
    if measurement.derivation:
        resource["method"] = codeable(measurement.derivation)
    if measurement.value is not None and math.isfinite(measurement.value):
        resource["valueQuantity"] = quantity(measurement.value, measurement.unit)
    elif measurement.coded_value:
        resource["valueCodeableConcept"] = codeable(measurement.coded_value)
    else:
        resource["dataAbsentReason"] = _absent(_absence(measurement.value))
    model = f"{measurement.model} {measurement.model_version}".strip()
    notes = [f"Made by {model}"] if model else []
    notes += [f"{flag.code}: {flag.message}" for flag in measurement.flags]
    if notes:
        resource["note"] = [{"text": text} for text in notes]
    return resource


def _absence(value: float | None) -> str:
    if value is None:
        return "unknown"
    if math.isnan(value):
        return "not-a-number"
    return "positive-infinity" if value > 0 else "negative-infinity"


def _absent(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _ABSENT, "code": code}]}
