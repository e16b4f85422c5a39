"""The report as FHIR R4 resources: DiagnosticReport, Observations, ImagingStudy, and whom and what they are about.

A Bundle of the type `collection` (https://hl7.org/fhir/R4/bundle.html), whole in itself: its resources refer to one
another by `urn:uuid:` URLs, which follow from the report, so that the same report gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from imaging.derived.equipment import product_equipment
from imaging.dicom.uid import derived_uid
from reporting_svc.content.report_content import CodedConcept, ReportContent, SeriesUse
from reporting_svc.fhir.observations import group_observations, refusal_observation
from reporting_svc.fhir.types import codeable, coding, identifier_of_uid, instant
from reporting_svc.report_json import json_bytes

MEDIA_TYPE: Final = "application/fhir+json"

_RADIOLOGY: Final = CodedConcept("LP29684-5", "LN", "Radiology")
_STUDY_REPORT: Final = CodedConcept("18748-4", "LN", "Diagnostic imaging study")
_MEASUREMENT_REPORT: Final = CodedConcept("126000", "DCM", "Imaging Measurement Report")
_GENDERS: Final = {"M": "male", "F": "female", "O": "other"}
_IDENTIFIER_TYPE: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"


def render_fhir(content: ReportContent, series: Sequence[SeriesUse], pdf: bytes | None = None) -> bytes:
    """The Bundle as UTF-8 JSON; its status is `preliminary`, since nobody has looked at it yet.

    Parameters
    ----------
    series
        All series of the study; those that we made are left out of the ImagingStudy.
    pdf
        The document that a reader sees; becomes DiagnosticReport.presentedForm.
    """
    report = content.provenance.report
    patient, study, device, diagnostic = (_url(report, kind) for kind in ("patient", "study", "device", "report"))
    common = {"subject": {"reference": patient}, "device": {"reference": device}, "derivedFrom": [{"reference": study}]}
    if effective := _date_time(content.study.study_date):
        common["effectiveDateTime"] = effective
    heads: list[str] = []
    observations: list[tuple[str, dict[str, Any]]] = []
    for number, group in enumerate(content.groups, start=1):
        urls = [_url(report, "group", str(number), str(place)) for place in range(len(group.measurements) + 1)]
        heads.append(urls[0])
        observations += zip(urls, group_observations(group, urls[1:], common), strict=True)
    for number, refusal in enumerate(content.refusals, start=1):
        heads.append(_url(report, "refusal", str(number)))
        observations.append((heads[-1], refusal_observation(refusal, common)))
    resources = [
        (diagnostic, _diagnostic_report(content, patient, study, heads, effective, pdf)),
        (patient, _patient(content)),
        (study, _imaging_study(content, series, patient)),
        (device, _device()),
        *observations,
    ]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": instant(content.effective_time),
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in resources],
    }
    return json_bytes(bundle)


def _diagnostic_report(
    content: ReportContent, patient: str, study: str, results: Sequence[str], effective: str, pdf: bytes | None
) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "identifier": [{"value": f"{content.provenance.report} version {content.version}"}],
        "status": "preliminary",
        "category": [codeable(_RADIOLOGY)],
        "code": {"coding": [coding(_STUDY_REPORT), coding(_MEASUREMENT_REPORT)], "text": content.title},
        "subject": {"reference": patient},
        "issued": instant(content.effective_time),
        "imagingStudy": [{"reference": study}],
    }
    if effective:
        resource["effectiveDateTime"] = effective
    if results:
        resource["result"] = [{"reference": url} for url in results]
    if pdf is not None:
        resource["presentedForm"] = [
            {
                "contentType": "application/pdf",
                "data": base64.b64encode(pdf).decode("ascii"),
                "title": f"{content.title}, version {content.version}",
            }
        ]
    return resource


def _patient(content: ReportContent) -> dict[str, Any]:
    patient: dict[str, Any] = {"resourceType": "Patient"}
    if content.patient.patient_id:
        patient["identifier"] = [{"type": _type("MR"), "value": content.patient.patient_id}]
    if content.patient.name:
        patient["name"] = [{"text": content.patient.name}]
    if content.patient.sex:
        patient["gender"] = _GENDERS.get(content.patient.sex, "unknown")
    if birth := _date_time(content.patient.birth_date):
        patient["birthDate"] = birth
    return patient


def _imaging_study(content: ReportContent, series: Sequence[SeriesUse], patient: str) -> dict[str, Any]:
    received = [each for each in series if not each.derived]
    study: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "identifier": [identifier_of_uid(content.study.study_instance_uid)],
        "status": "available",
        "subject": {"reference": patient},
        "numberOfSeries": len(received),
        "numberOfInstances": sum(each.instance_count for each in received),
    }
    if content.study.accession_number:
        study["identifier"].append({"type": _type("ACSN"), "value": content.study.accession_number})
    if started := _date_time(content.study.study_date):
        study["started"] = started
    if content.study.modalities:
        study["modality"] = [_modality(each) for each in content.study.modalities]
    if content.study.description:
        study["description"] = content.study.description
    if received:
        study["series"] = [_series(each) for each in received]
    return study


def _series(series: SeriesUse) -> dict[str, Any]:
    told: dict[str, Any] = {"uid": series.series_instance_uid}
    if series.number is not None and series.number >= 0:
        told["number"] = series.number
    told["modality"] = _modality(series.modality or "OT")
    if series.description:
        told["description"] = series.description
    told["numberOfInstances"] = series.instance_count
    return told


def _modality(code: str) -> dict[str, Any]:
    return {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": code}


def _device() -> dict[str, Any]:
    maker = product_equipment()
    return {
        "resourceType": "Device",
        "manufacturer": maker.manufacturer,
        "deviceName": [{"name": maker.model_name, "type": "model-name"}],
        "version": [{"value": maker.software_version}],
    }


def _type(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _IDENTIFIER_TYPE, "code": code}]}


def _url(report: str, *parts: str) -> str:
    """`urn:uuid:` of a resource of a report."""
    return UUID(int=int(derived_uid("fhir", report, *parts).removeprefix("2.25."))).urn


def _date_time(date: str) -> str:
    """A DICOM date as FHIR writes it; empty where it is none."""
    try:
        return datetime.strptime(date, "%Y%m%d").date().isoformat() if len(date) == 8 else ""
    except ValueError:
        return ""
