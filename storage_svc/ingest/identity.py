"""What to do with an instance whose UID may be known: the rules of identity, as one pure function."""

from __future__ import annotations

from enum import Enum, auto

from storage_svc.ingest.arrival import Arrival
from storage_svc.ingest.contradiction import Contradiction
from storage_svc.ingest.known import Known
from storage_svc.ingest.origin import DERIVED


class Sameness(Enum):
    """How two instances compare."""

    EQUIVALENT = auto()
    """Equal attributes and pixels, in other bytes."""
    OTHER_ATTRIBUTES = auto()
    """Equal pixels or other main content, but other attributes: a correction."""
    OTHER_CONTENT = auto()
    """Other pixels, waveform, document or structured content; or they cannot be compared."""
    KEPT_IS_DAMAGED = auto()
    """The bytes of the one that is kept are gone or are not those that were stored: they prove nothing."""


class Verdict(Enum):
    """What happens to an arrival."""

    STORE = auto()
    """Its UID is new."""
    ALREADY_STORED = auto()
    """The same bytes are kept, or the first of a derived UID is."""
    EQUIVALENT = auto()
    """The same image in another encoding is kept."""
    NEW_VERSION = auto()
    """It corrects attributes: serve it and keep the old one."""
    RESTORE = auto()
    """The same bytes were softly deleted: bring them back."""
    QUARANTINE = auto()
    """It contradicts what is kept: keep it aside and tell the sender."""
    COMPARE = auto()
    """Attributes and pixels must be compared first."""


_NONE = Contradiction.REASON_UNSPECIFIED


def judge(known: Known, arrival: Arrival, sameness: Sameness | None = None) -> tuple[Verdict, Contradiction.ValueType]:
    """The verdict, and for QUARANTINE what contradicts.

    Parameters
    ----------
    known
        What the index has under the UID.
    sameness
        The result of the comparison, once COMPARE was answered.
    """
    row = known.row
    if row is None:
        return Verdict.STORE, _NONE
    if row["data_set_sha256"] == arrival.examined.data_set_sha256:
        return (Verdict.RESTORE if known.is_deleted else Verdict.ALREADY_STORED), _NONE
    if reason := _other_place(known, arrival):
        return Verdict.QUARANTINE, reason
    is_other_patient = known.patient_id != arrival.study_columns()["patient_id"]
    if is_other_patient and (known.is_deleted or arrival.origin.kind == DERIVED):
        return Verdict.QUARANTINE, Contradiction.REASON_OTHER_PATIENT
    if known.is_deleted:
        # Nobody can see the old one any more; it stays as an older version until it is purged.
        return Verdict.NEW_VERSION, _NONE
    if arrival.origin.kind == DERIVED:
        # A repeated stage need not give the same floats; the first result has been seen and stays.
        return Verdict.ALREADY_STORED, _NONE
    if sameness is None:
        return Verdict.COMPARE, _NONE
    if sameness is Sameness.EQUIVALENT:
        # Also where its study is that of another patient: both say the same of it.
        return Verdict.EQUIVALENT, _NONE
    if is_other_patient:
        return Verdict.QUARANTINE, Contradiction.REASON_OTHER_PATIENT
    if sameness is Sameness.OTHER_CONTENT:
        return Verdict.QUARANTINE, Contradiction.REASON_OTHER_CONTENT
    if sameness is Sameness.KEPT_IS_DAMAGED:
        return Verdict.QUARANTINE, Contradiction.REASON_STORED_IS_DAMAGED
    # A PACS that coerces attributes of our results does not change the results.
    return (Verdict.ALREADY_STORED if known.is_derived else Verdict.NEW_VERSION), _NONE


def _other_place(known: Known, arrival: Arrival) -> Contradiction.ValueType:
    """Whether study or series differ."""
    row, examined = known.row, arrival.examined
    assert row is not None
    if row["study_instance_uid"] != examined.study_instance_uid:
        return Contradiction.REASON_OTHER_STUDY
    if row["series_instance_uid"] != examined.series_instance_uid:
        return Contradiction.REASON_OTHER_SERIES
    return _NONE
