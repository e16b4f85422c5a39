"""The PDF as a DICOM object: Encapsulated PDF (PS3.3 A.45.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage

from imaging.derived.deterministic import make_deterministic, part10_bytes
from imaging.derived.dicom_time import da_value, tm_value
from imaging.derived.equipment import coded, set_equipment
from reporting_svc.content.report_content import ReportContent
from reporting_svc.dicom.structured_report import ReportUids
from reporting_svc.dicom.study_identity import text_value

_REPORT_TITLE = Code("126000", "DCM", "Imaging Measurement Report")
"""The same title as that of the structured report (CID 7021)."""

_MAX_SOURCES = 1000


def encapsulated_pdf(
    content: ReportContent, pdf: bytes, identity: Dataset, sources: Sequence[Dataset], uids: ReportUids
) -> bytes:
    """The Part 10 bytes of the object; the same for the same arguments.

    Parameters
    ----------
    identity
        Patient and study attributes; see `study_identity`.
    sources
        Instances that the report rests on, with SOPClassUID and SOPInstanceUID.
    """
    dataset = Dataset()
    dataset.update(identity)
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.SOPInstanceUID = uids.pdf_instance
    # Encapsulated Document Series (PS3.3 C.24.1)
    dataset.Modality = "DOC"
    dataset.SeriesInstanceUID = uids.pdf_series
    dataset.SeriesNumber = 9002
    dataset.SeriesDescription = text_value(content.title, 64)
    set_equipment(dataset)
    # SC Equipment (C.8.6.1): made by a workstation, not by scanning paper.
    dataset.ConversionType = "WSD"
    # Encapsulated Document (C.24.2)
    dataset.InstanceNumber = content.version
    dataset.ContentDate, dataset.ContentTime = da_value(content.effective_time), tm_value(content.effective_time)
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.DocumentTitle = text_value(f"{content.title}, version {content.version}", 1024)
    dataset.ConceptNameCodeSequence = [coded(_REPORT_TITLE)]
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    if sources:
        dataset.SourceInstanceSequence = [_source(each) for each in sources[:_MAX_SOURCES]]
    dataset.EncapsulatedDocumentLength = len(pdf)
    # An element has an even length (PS3.5 7.1.1); EncapsulatedDocumentLength tells the true one.
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return part10_bytes(make_deterministic(dataset, uids.parts, content.effective_time))


def _source(instance: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = instance.SOPClassUID
    item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
    return item
