"""The report as a Comprehensive 3D SR with the template TID 1500 Measurement Report (PS3.3 A.35.13, PS3.16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage

from imaging.derived.deterministic import make_deterministic, part10_bytes
from imaging.derived.equipment import product_equipment, set_equipment
from imaging.dicom.uid import derived_uid
from reporting_svc.content.report_content import DISCLAIMER, Refusal, ReportContent
from reporting_svc.dicom.evidence import StoredInstance, collect_references, reference
from reporting_svc.dicom.measurement_groups import measurement_groups

_QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
"""TID 1500, row 12."""

_PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
}
"""CID 100, by modality."""

_ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


@dataclass(frozen=True, slots=True)
class ReportUids:
    """The UIDs under which the objects of a report are stored."""

    sr_series: str
    sr_instance: str
    pdf_series: str
    pdf_instance: str
    parts: tuple[str, ...]
    """What they were derived from."""


@dataclass(frozen=True, slots=True)
class ReportSources:
    """The stored objects that a report rests on."""

    identity: Dataset
    """Patient and study attributes; see `study_identity`."""

    segmentations: Mapping[str, StoredInstance] = field(default_factory=dict)
    instances: Mapping[str, StoredInstance] = field(default_factory=dict)
    """Both by SOP Instance UID."""

    frames_of_reference: Mapping[str, str] = field(default_factory=dict)
    """Frame of Reference UID by series name."""


def structured_report(content: ReportContent, sources: ReportSources, uids: ReportUids) -> bytes:
    """The Part 10 bytes of the SR; the same for the same arguments.

    Findings stand in measurement groups, what was not measured in `Qualitative Evaluations` as text.
    """
    root = _document_root(content)
    groups = [
        made
        for group in content.groups
        for made in measurement_groups(
            group,
            segmentations=sources.segmentations,
            instances=sources.instances,
            frame_of_reference_uid=sources.frames_of_reference.get(group.series, ""),
        )
    ]
    if groups:
        root.ContentSequence.append(_container(codes.DCM.ImagingMeasurements, [each[0] for each in groups]))
    texts = [_refusal_text(refusal) for refusal in content.refusals] or ([] if groups else ["Nothing was measured."])
    texts.append(f"{DISCLAIMER}. {content.disclaimer_detail}")
    root.ContentSequence.append(_container(_QUALITATIVE_EVALUATIONS, [_comment(text) for text in texts]))

    references = collect_references(content.groups, sources.segmentations, sources.identity)
    dataset = sr.Comprehensive3DSR(
        evidence=references or [_placeholder(sources.identity, uids)],
        content=root,
        series_instance_uid=uids.sr_series,
        series_number=9001,
        series_description=content.title,
        sop_instance_uid=uids.sr_instance,
        instance_number=content.version,
        manufacturer=product_equipment().manufacturer,
        is_complete=True,
        previous_versions=_predecessor(content, sources.identity),
        specific_character_set="ISO_IR 192",
        coding_schemes=_private_schemes(root),
    )
    if not references:
        del dataset.CurrentRequestedProcedureEvidenceSequence
    set_equipment(dataset)
    dataset.PreliminaryFlag = "PRELIMINARY"  # until a person stands for it: see `verified_report`
    return part10_bytes(make_deterministic(dataset, uids.parts, content.effective_time))


def _document_root(content: ReportContent) -> Any:
    """Title, language, observer and procedure (TID 1500, rows 1 to 4)."""
    maker = product_equipment()
    root = sr.ContainerContentItem(name=codes.DCM.ImagingMeasurementReport, template_id="1500")
    root.ContentSequence = sr.ContentSequence()
    language = Code("en-US", "RFC5646", "English (United States)")
    root.ContentSequence.extend(sr.LanguageOfContentItemAndDescendants(language))
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("device-observer", maker.manufacturer, maker.model_name),
            name=maker.model_name,
            manufacturer_name=maker.manufacturer,
            model_name=maker.model_name,
        ),
    )
    root.ContentSequence.extend(sr.ObservationContext(observer_device_context=observer))
    procedures = dict.fromkeys(_PROCEDURES.get(modality, _ANY_PROCEDURE) for modality in _modalities(content))
    for procedure in procedures or {_ANY_PROCEDURE: None}:
        root.ContentSequence.append(
            sr.CodeContentItem(
                name=codes.DCM.ProcedureReported,
                value=procedure,
                relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
            )
        )
    return root


def _private_schemes(root: Dataset) -> list[Any] | None:
    """Whose the private coding schemes of the document are (PS3.3 C.12.1.1.1)."""
    designators: dict[str, None] = {}

    def note(_: Dataset, element: DataElement) -> None:
        if element.keyword == "CodingSchemeDesignator" and str(element.value).startswith("99"):
            designators.setdefault(str(element.value))

    root.walk(note)
    maker = product_equipment().manufacturer
    return [
        CodingSchemeIdentificationItem(designator=each, name="Private codes", responsible_organization=maker)
        for each in designators
    ] or None


def _modalities(content: ReportContent) -> list[str]:
    return [series.modality for series in content.provenance.series] or list(content.study.modalities)


def _container(name: Code, items: Sequence[Any]) -> Any:
    container = sr.ContainerContentItem(name=name, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    container.ContentSequence = sr.ContentSequence(items)
    return container


def _comment(text: str) -> Any:
    return sr.TextContentItem(name=codes.DCM.Comment, value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS)


def _refusal_text(refusal: Refusal) -> str:
    hint = f" How to fix: {refusal.hint}" if refusal.hint else ""
    return f"Not measured: {refusal.subject} ({refusal.rule}). {refusal.message}{hint}"


def _placeholder(identity: Dataset, uids: ReportUids) -> Dataset:
    """Carries patient and study into highdicom, which takes them from evidence, where there is no evidence."""
    name = f"studies/{identity.StudyInstanceUID}/series/{uids.sr_series}/instances/{uids.sr_instance}"
    return reference(identity, name, Comprehensive3DSRStorage)


def _predecessor(content: ReportContent, identity: Dataset) -> list[Dataset] | None:
    predecessor = content.provenance.predecessor
    if predecessor is None or not predecessor.sr_instance:
        return None
    return [reference(identity, predecessor.sr_instance, Comprehensive3DSRStorage)]
