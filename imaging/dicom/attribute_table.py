"""Which attributes go into the index: what QIDO-RS and C-FIND ask for, and what a viewer sorts by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexedAttribute:
    """One attribute of the index; `many` tells that its value is a list, whatever its length."""

    tag: int
    vr: str
    keyword: str
    many: bool = False


_ONE = """
00080012 DA InstanceCreationDate
00080013 TM InstanceCreationTime
00080016 UI SOPClassUID
00080018 UI SOPInstanceUID
00080020 DA StudyDate
00080021 DA SeriesDate
00080022 DA AcquisitionDate
00080023 DA ContentDate
0008002A DT AcquisitionDateTime
00080030 TM StudyTime
00080031 TM SeriesTime
00080032 TM AcquisitionTime
00080033 TM ContentTime
00080050 SH AccessionNumber
00080060 CS Modality
00080064 CS ConversionType
00080068 CS PresentationIntentType
00080070 LO Manufacturer
00080080 LO InstitutionName
00080090 PN ReferringPhysicianName
00080201 SH TimezoneOffsetFromUTC
00081010 SH StationName
00081030 LO StudyDescription
0008103E LO SeriesDescription
00081040 LO InstitutionalDepartmentName
00081090 LO ManufacturerModelName
00100010 PN PatientName
00100020 LO PatientID
00100021 LO IssuerOfPatientID
00100030 DA PatientBirthDate
00100032 TM PatientBirthTime
00100040 CS PatientSex
00101010 AS PatientAge
00101020 DS PatientSize
00101030 DS PatientWeight
00104000 LT PatientComments
00180010 LO ContrastBolusAgent
00180015 CS BodyPartExamined
00180050 DS SliceThickness
00180060 DS KVP
00180088 DS SpacingBetweenSlices
00181000 LO DeviceSerialNumber
00181030 LO ProtocolName
00181120 DS GantryDetectorTilt
00185100 CS PatientPosition
00185101 CS ViewPosition
0020000D UI StudyInstanceUID
0020000E UI SeriesInstanceUID
00200010 SH StudyID
00200011 IS SeriesNumber
00200012 IS AcquisitionNumber
00200013 IS InstanceNumber
00200052 UI FrameOfReferenceUID
00200060 CS Laterality
00200062 CS ImageLaterality
00201041 DS SliceLocation
00280002 US SamplesPerPixel
00280004 CS PhotometricInterpretation
00280006 US PlanarConfiguration
00280008 IS NumberOfFrames
00280010 US Rows
00280011 US Columns
00280100 US BitsAllocated
00280101 US BitsStored
00280102 US HighBit
00280103 US PixelRepresentation
00280301 CS BurnedInAnnotation
00281052 DS RescaleIntercept
00281053 DS RescaleSlope
00281054 LO RescaleType
00282110 CS LossyImageCompression
00400244 DA PerformedProcedureStepStartDate
00400245 TM PerformedProcedureStepStartTime
00400253 SH PerformedProcedureStepID
00400254 LO PerformedProcedureStepDescription
0040A491 CS CompletionFlag
0040A493 CS VerificationFlag
00420010 ST DocumentTitle
00420012 LO MIMETypeOfEncapsulatedDocument
00700080 CS ContentLabel
00700081 LO ContentDescription
00700084 PN ContentCreatorName
30060002 SH StructureSetLabel
300A0002 SH RTPlanLabel
"""
_MANY = """
00080005 CS SpecificCharacterSet
00080008 CS ImageType
00081048 PN PhysiciansOfRecord
00081050 PN PerformingPhysicianName
00081060 PN NameOfPhysiciansReadingStudy
00081070 PN OperatorsName
00081080 LO AdmittingDiagnosesDescription
00101000 LO OtherPatientIDs
00180022 CS ScanOptions
00181020 LO SoftwareVersions
00181210 SH ConvolutionKernel
00200032 DS ImagePositionPatient
00200037 DS ImageOrientationPatient
00280030 DS PixelSpacing
00281050 DS WindowCenter
00281051 DS WindowWidth
"""


def _table(rows: str, many: bool) -> list[IndexedAttribute]:
    split = (row.split() for row in rows.strip().splitlines())
    return [IndexedAttribute(int(tag, 16), vr, keyword, many) for tag, vr, keyword in split]


INDEXED_ATTRIBUTES: tuple[IndexedAttribute, ...] = tuple(
    sorted([*_table(_ONE, False), *_table(_MANY, True)], key=lambda attribute: attribute.tag)
)
"""All indexed attributes in the order of their tags."""
