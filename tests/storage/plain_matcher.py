"""Matching as PS3.4 C.2.2.2 tells it, one study at a time and without an index: what a search is held against."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

NAMES = {"PatientName": "patient_name", "ReferringPhysicianName": "referring_physician_name"}
TEXTS = {
    "PatientID": "patient_id",
    "IssuerOfPatientID": "issuer_of_patient_id",
    "AccessionNumber": "accession_number",
    "StudyID": "study_id",
    "StudyDescription": "study_description",
    "PatientSex": "patient_sex",
}
DATES = {"StudyDate": "study_date", "PatientBirthDate": "patient_birth_date"}


def matches(study: Mapping[str, Any], keys: Mapping[str, str]) -> bool:
    """True if a study matches all keys."""
    return all(_matches(study, keyword, value) for keyword, value in keys.items())


def _matches(study: Mapping[str, Any], keyword: str, value: str) -> bool:
    if not value.replace("*", ""):
        return True
    if keyword == "ModalitiesInStudy":
        return any(_is_one_of(modality, value) for modality in study["modalities"])
    if keyword in NAMES:
        return _has_name(study[NAMES[keyword]], value)
    if keyword in TEXTS:
        return _is_one_of(study[TEXTS[keyword]], value)
    low, dash, high = value.partition("-")
    date = study[DATES[keyword]]
    return bool(date) and low <= date <= ((high or "99999999") if dash else low)


def _is_one_of(text: str, value: str) -> bool:
    return any(re.fullmatch(_regular(single), text, re.DOTALL) is not None for single in value.split("\\"))


def _has_name(name: str, value: str) -> bool:
    """Each component group that is asked for is one of the name's, without regard to case and empty components."""
    if not name:
        return not [group for group in value.split("=") if _folded(group).strip()]
    groups = [_folded(group).rstrip("^ ").lstrip() for group in name.split("=")]
    for asked in value.split("="):
        group = _folded(asked).strip()
        group = group if group.endswith("*") else group.rstrip("^")
        written = "=" + "=".join(groups) + "="
        if _folded(asked).strip() and re.search(_regular(f"={group}="), written, re.DOTALL) is None:
            return False
    return True


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _regular(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
