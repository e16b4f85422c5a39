"""A key image, with everything that is drawn in, as a Secondary Capture image (PS3.3 A.8.1)."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from imaging.derived.deterministic import make_deterministic, part10_bytes
from imaging.derived.dicom_time import da_value, tm_value
from imaging.derived.equipment import set_equipment
from imaging.dicom.uid import derived_uid
from reporting_svc.content.report_content import DISCLAIMER, KeyImage, ReportContent
from reporting_svc.dicom.evidence import StoredInstance
from reporting_svc.dicom.structured_report import ReportUids
from reporting_svc.dicom.study_identity import text_value

_SERIES_NUMBER: Final = 9004


def secondary_capture(
    content: ReportContent,
    number: int,
    image: KeyImage,
    source: StoredInstance | None,
    identity: Dataset,
    uids: ReportUids,
) -> bytes:
    """The Part 10 bytes; the same for the same arguments.

    Parameters
    ----------
    number
        Of the key image in the report, counted from 1.
    source
        The stored image that it shows; None if storage does not know it.
    identity
        Patient and study attributes; see `study_identity`.
    """
    parts = ("key picture", str(number), *uids.parts)
    with Image.open(BytesIO(image.png)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    dataset = Dataset()
    dataset.update(identity)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = derived_uid(*parts)
    # General Series (C.7.3.1)
    dataset.Modality = "OT"
    dataset.SeriesInstanceUID = derived_uid("key picture series", *uids.parts)
    dataset.SeriesNumber = _SERIES_NUMBER
    dataset.SeriesDescription = "Key images with findings"
    dataset.Laterality = ""
    set_equipment(dataset)
    # SC Equipment (C.8.6.1) and SC Image (C.8.6.2)
    dataset.ConversionType = "WSD"
    dataset.DateOfSecondaryCapture = da_value(content.effective_time)
    dataset.TimeOfSecondaryCapture = tm_value(content.effective_time)
    # General Image (C.7.6.1) and General Reference (C.12.4)
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.InstanceNumber = number
    dataset.PatientOrientation = list(image.orientation) if all(image.orientation) else ""
    dataset.ContentDate, dataset.ContentTime = da_value(content.effective_time), tm_value(content.effective_time)
    dataset.DerivationDescription = text_value(f"{image.title}. {image.caption}", 1024)
    dataset.ImageComments = text_value(f"{DISCLAIMER}. {content.title}, version {content.version}", 10240)
    # What is drawn in names nobody.
    dataset.BurnedInAnnotation = "NO"
    if source is not None:
        reference = Dataset()
        reference.ReferencedSOPClassUID = source.sop_class_uid
        reference.ReferencedSOPInstanceUID = source.sop_instance_uid
        if source.number_of_frames > 1:
            reference.ReferencedFrameNumber = image.frame_number
        dataset.SourceImageSequence = [reference]
    # Image Pixel (C.7.6.3)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.add_new("PixelData", "OB", pixels.tobytes() + b"\0" * (pixels.size % 2))
    return part10_bytes(make_deterministic(dataset, parts, content.effective_time))
