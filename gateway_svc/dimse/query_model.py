"""The query/retrieve information models (PS3.4 C.6): their levels, and the attributes that the index knows at each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from gateway_svc.dimse.identifier import UnfitIdentifier
from gateway_svc.dimse.sop_classes import PATIENT_ROOT

QUERY_RETRIEVE_LEVEL: Final = 0x00080052
RETRIEVE_AE_TITLE: Final = 0x00080054


class Level(IntEnum):
    """From the top."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


UNIQUE_KEYS: Final[Mapping[Level, int]] = {
    Level.PATIENT: 0x00100020,
    Level.STUDY: 0x0020000D,
    Level.SERIES: 0x0020000E,
    Level.IMAGE: 0x00080018,
}

_MATCHED: Final[Mapping[Level, str]] = {
    Level.PATIENT: "PatientID IssuerOfPatientID PatientName PatientBirthDate PatientSex",
    Level.STUDY: "StudyInstanceUID StudyDate StudyTime AccessionNumber StudyID StudyDescription ReferringPhysicianName"
    " ModalitiesInStudy",
    Level.SERIES: "SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime BodyPartExamined"
    " Laterality FrameOfReferenceUID Manufacturer ManufacturerModelName ProtocolName PerformedProcedureStepStartDate"
    " PerformedProcedureStepStartTime",
    Level.IMAGE: "SOPInstanceUID SOPClassUID InstanceNumber ImageType ContentDate ContentTime AcquisitionNumber"
    " NumberOfFrames Rows Columns",
}
_RETURNED: Final[Mapping[Level, str]] = {
    Level.PATIENT: "InstanceAvailability",
    Level.STUDY: "NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances",
    Level.SERIES: "NumberOfSeriesRelatedInstances",
    Level.IMAGE: "AvailableTransferSyntaxUID BitsAllocated",
}


def _levels(keywords: Mapping[Level, str]) -> dict[int, Level]:
    return {int(tag_for_keyword(name) or 0): level for level, names in keywords.items() for name in names.split()}


MATCHED: Final[Mapping[int, Level]] = _levels(_MATCHED)
"""Attributes that can be matched, and the level that each belongs to."""

KNOWN: Final[Mapping[int, Level]] = {**MATCHED, **_levels(_RETURNED)}
"""Attributes that can be told."""

_MODALITY, _MODALITIES_IN_STUDY = 0x00080060, 0x00080061


def level_of(text: str, sop_class_uid: str) -> Level:
    """The level that Query/Retrieve Level (0008,0052) names.

    Raises
    ------
    UnfitIdentifier
        If the model has no such level.
    """
    level = Level.__members__.get(text.upper())
    if level is None or (level is Level.PATIENT and sop_class_uid not in PATIENT_ROOT):
        raise UnfitIdentifier(
            "The model has no such Query/Retrieve Level",
            where="(0008,0052)",
            hint="STUDY, SERIES or IMAGE; PATIENT in the Patient Root model.",
        )
    return level


def searched_tag(tag: int, level: Level) -> int:
    """The attribute that a key means: Modality asked of a study is Modalities in Study, as many clients mean it."""
    return _MODALITIES_IN_STUDY if tag == _MODALITY and level <= Level.STUDY else tag


def keyword(tag: int) -> str:
    """The keyword of a tag, by which storage knows it."""
    return str(keyword_for_tag(tag))
