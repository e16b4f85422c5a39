"""Which service an abstract syntax belongs to (PS3.4 A.4, B.5, C.6, J.3)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from pydicom.uid import UID_dictionary

VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The well-known instance that commitment is asked of (PS3.4 J.3.5)."""

PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_ROOT: Final = frozenset({PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET})

_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
"""All below it are composite objects to be stored (PS3.4 B.5), those of later editions too."""

_NOT_STORED = frozenset({STORAGE_COMMITMENT, "1.2.840.10008.1.20.2", "1.2.840.10008.1.3.10"})
"""Have `Storage` in their names: both models of commitment, and the directory of a medium."""

_ELSEWHERE = frozenset(
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class" and "Storage" in name and not uid.startswith(_STORAGE_ROOT) and uid not in _NOT_STORED
)
"""Hanging protocols, implant templates, treatment records and others that have other roots."""


class Verb(StrEnum):
    """What a calling AE may ask for."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"
    COMMIT = "commit"


ALL_VERBS: Final = frozenset(Verb)

_VERBS: Final = {
    VERIFICATION: Verb.ECHO,
    PATIENT_ROOT_FIND: Verb.FIND,
    STUDY_ROOT_FIND: Verb.FIND,
    PATIENT_ROOT_MOVE: Verb.MOVE,
    STUDY_ROOT_MOVE: Verb.MOVE,
    PATIENT_ROOT_GET: Verb.GET,
    STUDY_ROOT_GET: Verb.GET,
    STORAGE_COMMITMENT: Verb.COMMIT,
}
"""Besides storage. What is not served is not accepted either."""


def service_verb(abstract_syntax: str) -> Verb | None:
    """The verb of a class that is not one of storage; None for others."""
    return _VERBS.get(abstract_syntax)


class SopClasses:
    """The abstract syntaxes that are taken.

    Parameters
    ----------
    more_storage_classes
        Storage SOP Classes besides those of the Standard: private ones, as UIDs or patterns with `*`.
    """

    def __init__(self, more_storage_classes: Iterable[str] = ()) -> None:
        self._more = tuple(more_storage_classes)

    def verb(self, abstract_syntax: str) -> Verb | None:
        """What it takes to use it; None for one that is not supported."""
        known = _VERBS.get(abstract_syntax)
        if known is not None:
            return known
        return Verb.STORE if self.is_storage(abstract_syntax) else None

    def is_storage(self, abstract_syntax: str) -> bool:
        """True for a class of objects that are stored."""
        if abstract_syntax.startswith(_STORAGE_ROOT) or abstract_syntax in _ELSEWHERE:
            return True
        return abstract_syntax not in _VERBS and any(fnmatchcase(abstract_syntax, pattern) for pattern in self._more)
