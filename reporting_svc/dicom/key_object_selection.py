"""The images that show the findings, as a Key Object Selection Document (PS3.3 A.35.4, TID 2010)."""

from __future__ import annotations

from collections.abc import Mapping

from highdicom import ko, sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import KeyObjectSelectionDocumentStorage

from imaging.derived.deterministic import make_deterministic, part10_bytes
from imaging.derived.equipment import product_equipment, set_equipment
from imaging.dicom.uid import derived_uid
from reporting_svc.content.report_content import DISCLAIMER, ReportContent
from reporting_svc.dicom.evidence import StoredInstance, reference
from reporting_svc.dicom.structured_report import ReportUids

_SERIES_NUMBER = 9003


def key_object_selection(
    content: ReportContent, instances: Mapping[str, StoredInstance], identity: Dataset, uids: ReportUids
) -> bytes | None:
    """The Part 10 bytes; None if the report has no key image that is stored. The same for the same arguments.

    Parameters
    ----------
    instances
        The stored instances that findings rest on, by SOP Instance UID.
    identity
        Patient and study attributes; see `study_identity`.
    """
    frames: dict[str, list[int]] = {}
    for image in content.key_images:
        if image.sop_instance_uid in instances:
            frames.setdefault(image.sop_instance_uid, []).append(image.frame_number)
    if not frames:
        return None
    evidence = [reference(identity, instances[uid].name, instances[uid].sop_class_uid) for uid in frames]
    maker = product_equipment()
    selection = ko.KeyObjectSelection(
        document_title=codes.DCM.OfInterest,
        referenced_objects=[_pictured(item) for item in evidence],
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=derived_uid("device-observer", maker.manufacturer, maker.model_name), name=maker.model_name
            ),
        ),
        description=f"Images that show the findings of: {content.title}, version {content.version}. {DISCLAIMER}.",
    )
    dataset = ko.KeyObjectSelectionDocument(
        evidence=evidence,
        content=selection,
        series_instance_uid=derived_uid("key object series", *uids.parts),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid("key objects", *uids.parts),
        instance_number=content.version,
        manufacturer=maker.manufacturer,
        series_description="Key images",
    )
    for item in dataset.ContentSequence:
        if item.ValueType == "IMAGE":
            (named,) = item.ReferencedSOPSequence
            if instances[str(named.ReferencedSOPInstanceUID)].number_of_frames > 1:
                named.ReferencedFrameNumber = sorted(set(frames[str(named.ReferencedSOPInstanceUID)]))
    set_equipment(dataset)
    assert dataset.SOPClassUID == KeyObjectSelectionDocumentStorage
    return part10_bytes(make_deterministic(dataset, ("key objects", *uids.parts), content.effective_time))


def _pictured(item: Dataset) -> Dataset:
    """highdicom tells images from other objects by their rows and columns."""
    picture = Dataset()
    picture.update(item)
    picture.Rows = picture.Columns = 1
    return picture
