"""Which instances a C-MOVE or C-GET identifier asks for (PS3.4 C.4.2.2.1)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse.identifier import Identifier, UnfitIdentifier
from gateway_svc.dimse.query_model import QUERY_RETRIEVE_LEVEL, UNIQUE_KEYS, Level, keyword, level_of
from gateway_svc.index_search import LARGEST_PAGE, search_page
from imaging.dicom.uid import is_valid_uid
from imaging.errors import StorageFull
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

MOST_INSTANCES: Final = 200_000
"""Of one retrieval: their names are in memory while it runs, about 300 bytes each."""

_UIDS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """An instance to be sent."""

    name: str
    """`studies/{uid}/series/{uid}/instances/{uid}`."""
    sop_class_uid: str
    transfer_syntax_uid: str
    """As it is stored."""
    size_bytes: int = 0

    @property
    def sop_instance_uid(self) -> str:
        """(0008,0018)."""
        return self.name.rpartition("/")[2]


def wanted_of(instance: storage_pb2.Instance) -> Wanted:
    """What is kept of an instance of the index."""
    return Wanted(
        instance.name,
        sys.intern(instance.sop_class_uid),
        sys.intern(instance.transfer_syntax_uid),
        instance.size_bytes,
    )


async def wanted_instances(storage: StorageStub, identifier: Identifier, sop_class_uid: str) -> list[Wanted]:
    """The instances, by study, series and number; keys other than the unique ones of the levels are passed over.

    Raises
    ------
    UnfitIdentifier
        If the level or its unique key is missing, or a key is no single value or list of UIDs.
    StorageFull
        If there are more than `MOST_INSTANCES`.
    """
    level = level_of(identifier.values.get(QUERY_RETRIEVE_LEVEL, ""), sop_class_uid)
    found: list[Wanted] = []
    for keys in _searches(identifier, level):
        await _search(storage, keys, found)
    return found


def _searches(identifier: Identifier, level: Level) -> Iterator[list[pb.MatchKey]]:
    """The keys of each search: a list of UIDs is asked for in parts."""
    above: list[pb.MatchKey] = []
    for at, tag in UNIQUE_KEYS.items():
        value = identifier.values.get(tag, "")
        if at > level or (not value and at < level):
            continue
        _check(value, at)
        if at < level:
            above.append(pb.MatchKey(keyword=keyword(tag), value=value))
            continue
        values = value.split("\\")
        for start in range(0, len(values), _UIDS_AT_ONCE):
            part = "\\".join(values[start : start + _UIDS_AT_ONCE])
            yield [*above, pb.MatchKey(keyword=keyword(tag), value=part)]


def _check(value: str, level: Level) -> None:
    """Nothing but what is named may be sent: an empty value or a wildcard would be everything."""
    if level is Level.PATIENT:
        is_fit = bool(value) and not set(value) & set("*?\\")
    else:
        is_fit = all(is_valid_uid(uid) for uid in value.split("\\"))
    if not is_fit:
        raise UnfitIdentifier(
            f"The unique key of level {level.name} is missing or malformed",
            where=keyword(UNIQUE_KEYS[level]),
            hint="Give the UIDs that a C-FIND has told, without wildcards.",
        )


async def _search(storage: StorageStub, keys: list[pb.MatchKey], found: list[Wanted]) -> None:
    token = ""
    while True:
        page, token = await search_page(storage, "", 3, keys, LARGEST_PAGE, token)
        found += [wanted_of(instance) for instance in page]
        if len(found) > MOST_INSTANCES:
            raise StorageFull(f"More than {MOST_INSTANCES} instances match", hint="Retrieve less at once.")
        if not token:
            return
