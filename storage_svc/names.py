"""Resource names: `studies/{uid}/series/{uid}/instances/{uid}`, as DICOMweb has them (PS3.18 10.1)."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.dicom.uid import is_valid_uid
from imaging.errors import InvalidArgument, NotFound

_COLLECTIONS = ("studies", "series", "instances")


@dataclass(frozen=True, slots=True)
class Name:
    """A study, a series or an instance; the UIDs of the lower levels are empty."""

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uid: str = ""

    def __str__(self) -> str:
        uids = (self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)
        return "/".join(f"{collection}/{uid}" for collection, uid in zip(_COLLECTIONS, uids, strict=True) if uid)

    @property
    def level(self) -> int:
        """1 study, 2 series, 3 instance."""
        return 1 + bool(self.series_instance_uid) + bool(self.sop_instance_uid)

    @property
    def kind(self) -> str:
        """`study`, `series` or `instance`."""
        return ("study", "series", "instance")[self.level - 1]

    def not_found(self) -> NotFound:
        """The error for a name under which nothing is stored."""
        return NotFound(f"There is no such {self.kind}", where=str(self), hint="It was never stored, or is deleted.")


def parse_name(name: str, *levels: int) -> Name:
    """The parts of a resource name.

    Parameters
    ----------
    levels
        What it may name: 1 study, 2 series, 3 instance; all when none is given.

    Raises
    ------
    InvalidArgument
        If it is not such a name.
    """
    parts = name.split("/")
    level, uids = len(parts) // 2, parts[1::2]
    if (
        len(parts) % 2
        or not 1 <= level <= 3
        or (levels and level not in levels)
        or tuple(parts[::2]) != _COLLECTIONS[:level]
        or not all(map(is_valid_uid, uids))
    ):
        forms = ["/".join(f"{collection}/{{uid}}" for collection in _COLLECTIONS[:n]) for n in levels or (1, 2, 3)]
        raise InvalidArgument("The resource name is not valid", where="name", hint=f"Give {' or '.join(forms)}.")
    return Name(*uids)


def study_name(study_instance_uid: str) -> str:
    """`studies/{uid}`."""
    return f"studies/{study_instance_uid}"


def instance_name(study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> str:
    """`studies/{uid}/series/{uid}/instances/{uid}`."""
    return f"studies/{study_instance_uid}/series/{series_instance_uid}/instances/{sop_instance_uid}"
