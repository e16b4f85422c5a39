"""The attributes that go into the index: what QIDO-RS and C-FIND ask for, and what a viewer sorts by."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from imaging.dicom.attribute_value import (
    LEADING_SPACES_COUNT,
    STRING_DECODERS,
    AttributeValue,
    Decoded,
    Scalar,
    clean_text,
    decode_binary,
    decode_zone,
    split_text,
)
from imaging.dicom.byte_source import Buffer
from imaging.dicom.character_set import CharacterSet, character_set
from imaging.dicom.limits import ScanLimits
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import place
from imaging.dicom.value_representation import TEXT_VRS
from imaging.dicom.walked_data_set import ElementTuple, WalkedDataSet

SPECIFIC_CHARACTER_SET = 0x00080005
TIMEZONE_OFFSET = 0x00080201


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

_BY_TAG = {attribute.tag: attribute for attribute in INDEXED_ATTRIBUTES}


def _decoder(attribute: IndexedAttribute) -> Callable[[str], Decoded]:
    return decode_zone if attribute.tag == TIMEZONE_OFFSET else STRING_DECODERS.get(attribute.vr, clean_text)


_PLAN = tuple(
    (
        attribute,
        attribute.tag,
        attribute.vr.encode(),
        attribute.keyword,
        None if attribute.vr in ("US", *LEADING_SPACES_COUNT) else _decoder(attribute),
    )
    for attribute in INDEXED_ATTRIBUTES
)
_SPECIAL = re.compile(rb"[\x1b\\]|\0[^\0 ]")
"""Escape sequences, several values, and NUL before the end."""

_EMPTY: Decoded = (None, None)


class AttributeReader:
    """Decodes the indexed attributes of one data set; what cannot be decoded becomes None and a warning."""

    __slots__ = ("_characters", "_data", "_limits", "_little", "_log", "_note", "_walked")

    def __init__(
        self,
        data: Buffer,
        walked: WalkedDataSet,
        *,
        little_endian: bool,
        limits: ScanLimits,
        log: WarningLog,
        note: str = "",
    ) -> None:
        self._data = data
        self._walked = walked
        self._little = little_endian
        self._limits = limits
        self._log = log
        self._note = note
        self._characters = self._character_set()

    def read(self) -> dict[str, AttributeValue]:
        """Values by keyword: only of elements that are there; None if one is empty or unusable."""
        data, elements, most = self._data, self._walked.elements, self._limits.max_indexed_value_bytes
        values: dict[str, AttributeValue] = {}
        for attribute, tag, vr, keyword, decode in _PLAN:
            element = elements.get(tag)
            if element is None:
                continue
            written, _, value_offset, length = element
            # Nearly all values are one plain text in the VR of the Standard; all others take the long way.
            if decode is not None and 0 < length <= most and (written == vr or not written):
                raw = bytes(data[value_offset : value_offset + length])
                if raw.isascii() and _SPECIAL.search(raw) is None:
                    text = raw.decode("ascii").strip(" \0")
                    value, reason = decode(text) if text else _EMPTY
                    if reason is None:
                        values[keyword] = [value] if attribute.many and value is not None else value
                        continue
            values[keyword] = self._value(attribute, element)
        return values

    def _character_set(self) -> CharacterSet:
        element = self._walked.elements.get(SPECIFIC_CHARACTER_SET)
        if element is None or element[3] == 0:
            return CharacterSet()
        raw = bytes(self._data[element[2] : element[2] + min(element[3], 1024)])
        characters = character_set(raw.decode("ascii", "replace").split("\\"))
        if characters.unknown_terms:
            self._warn("charset", _BY_TAG[SPECIFIC_CHARACTER_SET], element[1], "A character set is not known")
        return characters

    def _value(self, attribute: IndexedAttribute, element: ElementTuple) -> AttributeValue:
        vr, offset, value_offset, length = element
        if length == 0:
            return None
        if length > self._limits.max_indexed_value_bytes:
            self._warn("value_too_long", attribute, offset, f"The value of {length} bytes is too long for the index")
            return None
        written = vr.decode("ascii") if vr not in (b"", b"UN") else attribute.vr
        if (written in TEXT_VRS) != (attribute.vr in TEXT_VRS) or written == "SQ":
            self._warn("vr_mismatch", attribute, offset, f"The VR is {written}, the Standard says {attribute.vr}")
            return None
        raw = bytes(self._data[value_offset : value_offset + length])
        if attribute.vr == "US":
            numbers = decode_binary(raw, "US", self._little)
            if numbers is None:
                self._warn("bad_value", attribute, offset, "The value is not indexed: its length is no number's")
                return None
            return self._first_or_all(attribute, offset, numbers)
        return self._text_value(attribute, offset, raw)

    def _text_value(self, attribute: IndexedAttribute, offset: int, raw: bytes) -> AttributeValue:
        texts, clean = split_text(raw, attribute.vr, self._characters)
        if not clean:
            message = "The value has characters outside of its character set, which are replaced in the index"
            self._warn("charset", attribute, offset, message)
        decoder = _decoder(attribute)
        values: list[Scalar | None] = []
        for text in texts:
            value, reason = decoder(text) if text else _EMPTY
            if reason is not None:
                fate = "not indexed" if value is None else "odd"
                self._warn("bad_value", attribute, offset, f"The value is {fate}: {reason}")
                if value is None and attribute.vr in ("DS", "IS"):
                    return None
            values.append(value)
        return self._first_or_all(attribute, offset, values)

    def _first_or_all(
        self, attribute: IndexedAttribute, offset: int, values: list[Scalar | None] | list[Scalar]
    ) -> AttributeValue:
        if attribute.many:
            return None if all(value is None for value in values) else values
        if len(values) > 1:
            message = f"The element has {len(values)} values instead of one; the first one is indexed"
            self._warn("multiplicity", attribute, offset, message)
        return values[0]

    def _warn(self, code: str, attribute: IndexedAttribute, offset: int, message: str) -> None:
        if not self._log.is_full:
            message = f"{attribute.keyword}: {message}"
        self._log.add(code, place(attribute.tag, offset, note=self._note), message)
