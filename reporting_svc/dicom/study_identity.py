"""Patient and study attributes for the objects that a report is stored as."""

from __future__ import annotations

import re
from typing import Final

from pydicom.dataset import Dataset

from imaging.dicom.uid import is_valid_uid
from imaging.storage.v1 import storage_pb2

_DATE = re.compile(r"\d{8}\Z")
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?\Z")
_SEXES = frozenset({"M", "F", "O"})

_MORE_TEXT = {"IssuerOfPatientID": 64, "TypeOfPatientID": 16, "PatientAge": 4}
"""Attributes that a study row does not hold but that a PACS may match by, with the longest value (PS3.5 6.2)."""


IDENTITY_KEYWORDS: Final = frozenset(
    {
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        *_MORE_TEXT,
    }
)
"""What `study_identity` may tell."""


def study_identity(study: storage_pb2.Study, source: Dataset | None) -> Dataset:
    """Patient and General Study attributes (PS3.3 C.7.1.1, C.7.2.1) as UTF-8, each valid for its VR or empty.

    Parameters
    ----------
    study
        The study as storage knows it.
    source
        Header of a source image, for what the study row does not hold; None without.
    """
    identity = Dataset()
    identity.SpecificCharacterSet = "ISO_IR 192"
    identity.PatientName = name_value(study.patient_name)
    identity.PatientID = text_value(study.patient_id, 64)
    identity.PatientBirthDate = study.patient_birth_date if _DATE.match(study.patient_birth_date) else ""
    identity.PatientSex = study.patient_sex if study.patient_sex in _SEXES else ""
    identity.StudyInstanceUID = study.study_instance_uid
    identity.StudyDate = study.study_date if _DATE.match(study.study_date) else ""
    identity.StudyTime = study.study_time if _TIME.match(study.study_time) else ""
    identity.StudyID = text_value(study.study_id, 16)
    identity.AccessionNumber = text_value(study.accession_number, 16)
    identity.ReferringPhysicianName = name_value(study.referring_physician_name)
    if study.study_description:
        identity.StudyDescription = text_value(study.study_description, 64)
    for keyword, longest in _MORE_TEXT.items():
        value = text_value(str(source.get(keyword) or ""), longest) if source is not None else ""
        if value:
            setattr(identity, keyword, value)
    return identity


def text_value(value: str, longest: int) -> str:
    """The value without what no text VR may hold: control characters, and backslashes, which part values."""
    clean = "".join(" " if sign == "\\" or ord(sign) < 32 or 127 <= ord(sign) < 160 else sign for sign in value)
    return clean.encode("utf-8", "replace").decode("utf-8").strip()[:longest].rstrip()


def name_value(value: str) -> str:
    """A valid Person Name: three groups of at most 64 characters with at most five components (PS3.5 6.2.1)."""
    groups = [text_value("^".join(group.split("^")[:5]), 64).rstrip("^") for group in value.split("=")[:3]]
    return "=".join(groups).rstrip("=")


def uids_of_name(name: str) -> dict[str, str]:
    """Study, series and SOP Instance UID in a resource name, by `studies`, `series` and `instances`."""
    parts = name.split("/")
    pairs = dict(zip(parts[::2], parts[1::2], strict=False))
    return {key: uid for key, uid in pairs.items() if is_valid_uid(uid)}
