"""C-FIND as SCP (PS3.4 C.4.1): the index is searched page by page, each match is sent as soon as it is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydicom.datadict import dictionary_VR

from gateway_svc.dimse import status
from gateway_svc.dimse.association import Association, Message
from gateway_svc.dimse.command import Command
from gateway_svc.dimse.identifier import (
    SPECIFIC_CHARACTER_SET,
    Element,
    Identifier,
    encode_identifier,
    read_identifier,
)
from gateway_svc.dimse.query_model import (
    KNOWN,
    MATCHED,
    QUERY_RETRIEVE_LEVEL,
    RETRIEVE_AE_TITLE,
    UNIQUE_KEYS,
    Level,
    keyword,
    level_of,
    searched_tag,
)
from gateway_svc.index_search import json_objects, search_page
from imaging.dicom.uid import is_valid_uid
from imaging.errors import StorageFull
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_PAGE: Final = 200
"""Matches that are held at once."""

MOST_PATIENTS: Final = 100_000
"""Different patients of one answer: those that were told are remembered, since the index is one of studies."""

_PATIENT_ID, _ISSUER, _NAME, _BIRTH_DATE = "00100020", "00100021", "00100010", "00100030"
_PASSED_OVER = frozenset({SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE, 0x00080201})
"""No keys, but told in every answer or about how others are meant; the last is Timezone Offset From UTC."""

Model = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for, and what is told of it."""

    level: Level
    keys: tuple[tuple[str, str], ...]
    """Keyword and value."""

    parent: str
    """A resource of storage below which everything is; empty: all."""

    told: tuple[int, ...]
    """Tags of the answers."""

    status: int
    """`PENDING`, or that some keys are not supported."""


async def c_find(message: Message, association: Association, storage: StorageStub, ae_title: str) -> Command:
    """The last answer to a C-FIND request, after the matches were sent.

    Raises
    ------
    ImagingError
        Why there is no answer, or no whole one.
    AssociationLost
        If the requestor went away.
    """
    command, context = message.command, message.context
    identifier = await read_identifier(message.data, context)
    level = level_of(identifier.values.get(QUERY_RETRIEVE_LEVEL, ""), context.abstract_syntax)
    query = read_query(identifier, level)
    pending = command.response(query.status)
    fixed = (Element(QUERY_RETRIEVE_LEVEL, "CS", level.name), Element(RETRIEVE_AE_TITLE, "AE", ae_title))
    async for model in _matches(storage, query):
        if command.message_id in association.cancelled:
            return command.response(status.CANCELLED)
        answer = encode_identifier(
            [*fixed, *_elements(model, query.told)], context.transfer_syntax, identifier.character_set
        )
        await association.send(context, pending, answer)
        await asyncio.sleep(0)  # a cancel, and other associations, come in between
    return command.response(status.SUCCESS)


def read_query(identifier: Identifier, level: Level) -> Query:
    """The query of an identifier.

    A key that the index does not know is not matched and not told, which the status of the matches says (PS3.4
    C.4.1.1.4); nor is one that belongs to a lower level. Keys of upper levels may be any (relational queries).
    """
    keys: dict[str, str] = {}
    told: list[int] = []
    parent, are_all_known = "", True
    for tag, value in identifier.values.items():
        if tag in _PASSED_OVER:
            continue
        searched = searched_tag(tag, level)
        if KNOWN.get(searched, Level.IMAGE + 1) > level:
            are_all_known = False
            continue
        told.append(tag)
        if not value:
            continue
        if searched not in MATCHED:
            are_all_known = False
        elif searched == UNIQUE_KEYS[Level.STUDY] and level > Level.STUDY and is_valid_uid(value):
            parent = f"studies/{value}"
        else:
            keys[keyword(searched)] = value
    # Its own unique key is told whether it was asked for or not: nothing could be made of an answer without.
    told += [tag for at, tag in UNIQUE_KEYS.items() if tag not in told and (at == level or 0 < at < level)]
    pending = status.PENDING if are_all_known else status.PENDING_WITHOUT_SOME_KEYS
    return Query(level, tuple(keys.items()), parent, tuple(told), pending)


async def _matches(storage: StorageStub, query: Query) -> AsyncIterator[Model]:
    level = max(query.level, Level.STUDY)
    keys = [pb.MatchKey(keyword=name, value=value) for name, value in query.keys]
    above = _known_above(query)
    patients: set[int] = set()
    token = ""
    while True:
        # Combined matching of date and time would have to be negotiated (PS3.4 C.2.2.2.5, C.5.1.1).
        page, token = await search_page(storage, query.parent, level, keys, _PAGE, token, separate_date_and_time=True)
        for text in await json_objects(storage, above, level, page, ""):
            model: Model = json.loads(text)
            if query.level is not Level.PATIENT or _is_new(model, patients):
                yield model
        if not token:
            return


def _known_above(query: Query) -> int:
    """How many levels over the matches need not be looked up for what is told."""
    unique = set(UNIQUE_KEYS.values()) - {UNIQUE_KEYS[Level.PATIENT]}
    others = {KNOWN[tag] for tag in query.told if tag in KNOWN and tag not in unique}
    if others & {Level.PATIENT, Level.STUDY}:
        return 0
    return 1 if Level.SERIES in others else 2


def _is_new(model: Model, seen: set[int]) -> bool:
    """True for the first study of a patient. Without an id, name and date of birth tell patients apart."""
    identity = tuple(_text(model.get(tag, {})) for tag in (_PATIENT_ID, _ISSUER))
    if not identity[0]:
        identity = "", *(_text(model.get(tag, {})) for tag in (_NAME, _BIRTH_DATE))
    digest = hash(identity)
    if digest in seen:
        return False
    if len(seen) >= MOST_PATIENTS:
        raise StorageFull(f"More than {MOST_PATIENTS} patients match", where="PATIENT", hint="Ask for less at once.")
    seen.add(digest)
    return True


def _elements(model: Model, told: Sequence[int]) -> Iterator[Element]:
    for tag in told:
        searched = f"{tag:08X}"
        member = model.get(searched)
        if member is None and tag == 0x00080060:  # asked of a study
            member = model.get("00080061", {})
        yield Element(tag, dictionary_VR(tag), _text(member or {}))


def _text(member: Mapping[str, Any]) -> str:
    """The values of a member as DICOM writes them."""
    return "\\".join(_one(value) for value in member.get("Value", ()))


def _one(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        groups = [str(value.get(kind, "")) for kind in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value)
