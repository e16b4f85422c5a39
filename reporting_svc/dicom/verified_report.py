"""What a person's word makes of the documents of a draft: the same content, verified (PS3.3 C.17.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging.derived.deterministic import part10_bytes
from imaging.derived.dicom_time import da_value, dt_value, tm_value
from imaging.dicom.uid import derived_uid
from reporting_svc.dicom.study_identity import name_value, text_value, uids_of_name
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


def verified_sr(draft: bytes, verification: Verification) -> bytes:
    """The Part 10 bytes of a structured report with the content of the draft, VERIFIED, which names what it replaces.

    It is an instance of its own in the series of the draft: the draft stays as it is.
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
    return part10_bytes(dataset)


def verified_fhir(draft: bytes, verification: Verification) -> bytes:
    """The Bundle with the status of all its resources `final` or `amended`, and who says so."""
    bundle = json.loads(draft)
    status = "amended" if verification.replaces else "final"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] in ("DiagnosticReport", "Observation"):
            resource["status"] = status
        if resource["resourceType"] == "DiagnosticReport":
            resource["issued"] = instant(verification.time)
            resource["resultsInterpreter"] = [
                {"display": f"{_readable(verification.observer)}, {verification.organization}"}
            ]
            if verification.replaces:
                resource["extension"] = [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces",
                        "valueReference": {"identifier": {"value": verification.replaces}},
                    }
                ]
    return json_bytes(bundle)


def _readable(name: str) -> str:
    """`Doe^Jane` as `Jane Doe`."""
    family, _, given = name.partition("=")[0].partition("^")
    return " ".join(part for part in (given.replace("^", " ").strip(), family) if part)


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
