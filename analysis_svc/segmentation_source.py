"""Source images as a segmentation takes them over: only what it needs, and only what is valid there."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM, DSfloat

from imaging.derived.carried_over import PATIENT_AND_STUDY, add_empty
from imaging.dicom.uid import derived_uid
from imaging.volume.volume import Volume

_MAY_BE_EMPTY: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
"""Type 2 in the Patient, General Study and Frame of Reference modules (PS3.3 C.7.1.1, C.7.2.1, C.7.4.1)."""

_IMAGE: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "PhotometricInterpretation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "Manufacturer",
    "ManufacturerModelName",
    "InstitutionName",
    "StationName",
    "SoftwareVersions",
    "DeviceSerialNumber",
)
"""What tells the frames, their place and who acquired them."""

_SEXES: Final = ("M", "F", "O")


def segmentation_source(header: Dataset, volume: Volume) -> Dataset:
    """A copy of a source header that a segmentation can be made from, whatever the sender wrote about the patient.

    A date, time or sex that the Standard does not allow becomes empty, an attribute that cannot be read is left out,
    and text is written as UTF-8. Images without a frame of reference get one of their series: `assemble` has found
    that they lie in one.

    Parameters
    ----------
    header
        Of an instance of the volume; it stays as it is.
    volume
        Made of the instance.
    """
    source = Dataset()
    for keyword in (*PATIENT_AND_STUDY, *_IMAGE):
        # pydicom converts on access and on assignment, and raises what the conversion raises.
        with suppress(ValueError, TypeError, OverflowError, NotImplementedError, AttributeError, LookupError):
            if keyword in header:
                setattr(source, keyword, header[keyword].value)
    source.SpecificCharacterSet = "ISO_IR 192"
    if str(source.get("PatientSex") or "") not in _SEXES:
        source.PatientSex = None
    for keyword in ("PatientBirthDate", "StudyDate"):
        if not _is_valid(DA, source.get(keyword)):
            setattr(source, keyword, None)
    if not _is_valid(TM, source.get("StudyTime")):
        source.StudyTime = None
    if not source.get("FrameOfReferenceUID"):
        source.FrameOfReferenceUID = derived_uid("frame of reference", volume.series_instance_uid)
    # Type 1 in a segmentation and type 2 in its source (PS3.3 C.7.6.16.2.1, C.7.6.2.1).
    source.SliceThickness = DSfloat(volume.slice_thickness_mm or volume.spacing_mm[0], auto_format=True)
    source.SpacingBetweenSlices = DSfloat(volume.spacing_mm[0], auto_format=True)
    add_empty(source, _MAY_BE_EMPTY)
    return source


def _is_valid(kind: type[DA] | type[TM], value: object) -> bool:
    try:
        kind(str(value or ""))
    except ValueError:
        return False
    return True
