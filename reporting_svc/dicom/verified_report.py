"""What a person's word makes of the documents of a draft: the same content, verified (PS3.3 C.17.2)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging.derived.deterministic import part10_bytes
from imaging.derived.dicom_time import da_value, dt_value, tm_value
from imaging.dicom.uid import derived_uid
from reporting_svc.content.plain_text import clean_text
from reporting_svc.content.report_content import ReportContent, VerifiedBy
from reporting_svc.content.value_text import person_text
from reporting_svc.dicom.encapsulated_pdf import encapsulated_pdf
from reporting_svc.dicom.structured_report import ReportUids
from reporting_svc.dicom.study_identity import IDENTITY_KEYWORDS, name_value, text_value, uids_of_name
from reporting_svc.fhir.types import instant
from reporting_svc.report_json import json_bytes

_INSTANCE_NUMBERS = 1000
"""Are added to those of drafts in the same series."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Who stands for a report, and since when."""

    report_id: str
    observer: str
    """Person Name."""

    organization: str
    time: datetime
    replaces: str
    """`reports/{id}` of the final version that this one amends; empty for the first."""

    replaced_sr: str
    """Resource name of the verified structured report of that; empty without."""

    replaced_version: int
    """Its version; 0 without."""

    @property
    def verified_by(self) -> VerifiedBy:
        """As readers are told it."""
        return VerifiedBy(
            observer=clean_text(person_text(self.observer), 64),
            organization=clean_text(self.organization, 64),
            time=self.time,
            replaced_version=self.replaced_version,
        )


def verified_sr(draft: bytes, verification: Verification, content: ReportContent | None = None) -> bytes:
    """The Part 10 bytes of a structured report with the content of the draft, VERIFIED, which names what it replaces.

    It is an instance of its own in the series of the draft: the draft stays as it is.

    Parameters
    ----------
    content
        What the draft says; None if it was not kept, and then its texts stay as they are.
    """
    dataset = dcmread(BytesIO(draft))
    time = verification.time.astimezone(UTC)
    kind = dataset.SOPClassUID
    drafted = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    predecessors = [_predecessor(kind, *drafted)]
    if verification.replaced_sr:
        uids = uids_of_name(verification.replaced_sr)
        predecessors.append(_predecessor(kind, uids["studies"], uids["series"], uids["instances"]))
    dataset.PredecessorDocumentsSequence = Sequence(predecessors)
    dataset.SOPInstanceUID = derived_uid("verified report", verification.report_id)
    dataset.InstanceNumber = int(dataset.InstanceNumber) + _INSTANCE_NUMBERS
    for name in ("InstanceCreation", "Content"):
        setattr(dataset, f"{name}Date", da_value(time))
        setattr(dataset, f"{name}Time", tm_value(time))
    dataset.VerificationFlag = "VERIFIED"
    dataset.PreliminaryFlag = "FINAL"
    observer = Dataset()
    observer.VerifyingOrganization = text_value(verification.organization, 64)
    observer.VerificationDateTime = dt_value(time)
    observer.VerifyingObserverName = name_value(verification.observer)
    observer.VerifyingObserverIdentificationCodeSequence = []
    dataset.VerifyingObserverSequence = [observer]
    if content is not None:
        _say_who_verified(dataset, content, verification)
    return part10_bytes(dataset)


def verified_content(content: ReportContent, verification: Verification) -> ReportContent:
    """The same findings, in the name of who stands for them."""
    return replace(content, verified=verification.verified_by)


def verified_pdf(content: ReportContent, pdf: bytes, sr: bytes, series: str, verification: Verification) -> bytes:
    """The Part 10 bytes of the verified PDF, an instance of its own in the series of the draft's.

    Parameters
    ----------
    content
        Verified; see `verified_content`.
    sr
        The structured report: patient, study and sources are those of it.
    series
        Resource name of the draft's series.
    """
    report = dcmread(BytesIO(sr))
    identity = Dataset()
    identity.update({element.tag: element for element in report if element.keyword in IDENTITY_KEYWORDS})
    uids = ReportUids(
        sr_series=report.SeriesInstanceUID,
        sr_instance=report.SOPInstanceUID,
        pdf_series=uids_of_name(series)["series"],
        pdf_instance=derived_uid("verified pdf", verification.report_id),
        parts=("verified pdf", verification.report_id),
    )
    sources = []
    for study in report.get("CurrentRequestedProcedureEvidenceSequence", []):
        for evidence in study.ReferencedSeriesSequence:
            for named in evidence.ReferencedSOPSequence:
                source = Dataset()
                source.SOPClassUID, source.SOPInstanceUID = named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID
                sources.append(source)
    dataset = dcmread(BytesIO(encapsulated_pdf(content, pdf, identity, sources, uids)))
    dataset.InstanceNumber = int(dataset.InstanceNumber) + _INSTANCE_NUMBERS
    time = verification.time.astimezone(UTC)
    dataset.ContentDate, dataset.ContentTime = da_value(time), tm_value(time)
    dataset.VerificationFlag = "VERIFIED"
    return part10_bytes(dataset)


def _say_who_verified(dataset: Dataset, content: ReportContent, verification: Verification) -> None:
    """The text that said `without review` says who has reviewed it."""
    before, now = content.disclaimer_detail, verified_content(content, verification).disclaimer_detail
    for container in dataset.ContentSequence:
        for item in container.get("ContentSequence") or ():
            if item.ValueType == "TEXT" and before in item.TextValue:
                item.TextValue = item.TextValue.replace(before, now)


def verified_fhir(draft: bytes, verification: Verification, pdf: bytes | None = None) -> bytes:
    """The Bundle with the status of all its resources `final` or `amended`, who says so, and the verified PDF."""
    bundle = json.loads(draft)
    status = "amended" if verification.replaces else "final"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] in ("DiagnosticReport", "Observation"):
            resource["status"] = status
        if resource["resourceType"] == "DiagnosticReport":
            resource["issued"] = instant(verification.time)
            resource["resultsInterpreter"] = [
                {"display": f"{person_text(verification.observer)}, {verification.organization}"}
            ]
            if pdf is not None:
                for form in resource.get("presentedForm", ()):
                    form["data"] = base64.b64encode(pdf).decode("ascii")
            if verification.replaces:
                resource["extension"] = [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces",
                        "valueReference": {"identifier": {"value": verification.replaces}},
                    }
                ]
    return json_bytes(bundle)


def _predecessor(
    sop_class_uid: str, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str
) -> Dataset:
    """An item of PredecessorDocumentsSequence (PS3.3 C.17.2.1)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    series = Dataset()
    series.SeriesInstanceUID = series_instance_uid
    series.ReferencedSOPSequence = [reference]
    item = Dataset()
    item.StudyInstanceUID = study_instance_uid
    item.ReferencedSeriesSequence = [series]
    return item
