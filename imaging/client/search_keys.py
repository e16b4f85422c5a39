"""Search keys as Python writes them, to DICOM keywords."""

from __future__ import annotations

from collections.abc import Mapping

_UPPER = {"id": "ID", "uid": "UID"}


def search_keys(keys: Mapping[str, str]) -> dict[str, str]:
    """`patient_id` becomes `PatientID`, `modalities_in_study` `ModalitiesInStudy`; DICOM keywords stay as they are."""
    return {_keyword(key): value for key, value in keys.items()}


def _keyword(key: str) -> str:
    if key != key.lower():
        return key
    return "".join(_UPPER.get(word, word.capitalize()) for word in key.split("_"))
