"""C-STORE as SCU (PS3.4 B): as instances are stored, if the peer takes them so; else transcoded by storage."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Final

from gateway_svc.dimse import status
from gateway_svc.dimse.association import Association, Context
from gateway_svc.dimse.command import Command, CommandField, Priority
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.requestor import MOST_CONTEXTS, UNCOMPRESSED
from gateway_svc.dimse.stored_object import StoredObject
from gateway_svc.dimse.wanted_instances import Wanted
from imaging.dicom.transfer_syntax import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, PixelFamily, transfer_syntax
from imaging.errors import FailedPrecondition, ImagingError, InvalidDicom, Overloaded, UnsupportedTransferSyntax
from imaging.storage.v1 import storage_service_pb2 as pb

ANSWER_SECONDS: Final = 60.0
"""Longest wait for the peer to answer for an instance that it has."""

SLOWEST_BYTES_PER_SECOND: Final = 16 * 1024
"""Of a peer that is waited for."""

_NO_PIXELS_HERE: Final = frozenset({PixelFamily.MPEG, PixelFamily.REFERENCED})
"""Not decoded by storage."""

_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007})
"""Stored, but not all is well (PS3.7 C.3, PS3.4 B.2.3)."""


def proposed_contexts(wanted: Iterable[Wanted]) -> list[tuple[str, tuple[str, ...]]]:
    """Presentation contexts: each class in each syntax in which it is stored, then uncompressed if it has no video."""
    stored = dict.fromkeys((item.sop_class_uid, item.transfer_syntax_uid) for item in wanted)
    contexts = [(sop_class, (syntax,)) for sop_class, syntax in stored]
    decodable = dict.fromkeys(
        sop_class for sop_class, syntax in stored if transfer_syntax(syntax).family not in _NO_PIXELS_HERE
    )
    return [*contexts, *((sop_class, UNCOMPRESSED) for sop_class in decodable)][:MOST_CONTEXTS]


class StoreScu:
    """Sends instances over an association, one after the other.

    Parameters
    ----------
    association
        May be the one of a C-GET, whose requestor is SCP of storage.
    move_originator
        AE title and message id of the C-MOVE that this is for.
    """

    def __init__(
        self,
        association: Association,
        *,
        move_originator: tuple[str, int | None] = ("", None),
    ) -> None:
        self._association = association
        self._originator = move_originator
        self._message_id = 0
        self._contexts: defaultdict[str, dict[str, Context]] = defaultdict(dict)
        """By SOP Class and transfer syntax."""
        for context in association.contexts.values():
            if context.is_scu:
                self._contexts[context.abstract_syntax][context.transfer_syntax] = context

    @property
    def is_open(self) -> bool:
        """True while more can be sent."""
        return self._association.is_open

    def request(self, item: Wanted) -> pb.RetrieveInstancesRequest:
        """How storage is asked for an instance: as it is stored if the peer takes that, else in what the peer takes."""
        taken = self._contexts.get(item.sop_class_uid, {})
        if item.transfer_syntax_uid in taken:
            return pb.RetrieveInstancesRequest(name=item.name)
        accepted = sorted(taken, key=lambda syntax: (*UNCOMPRESSED, syntax).index(syntax))
        return pb.RetrieveInstancesRequest(name=item.name, accept_transfer_syntax_uids=accepted)

    async def send(self, item: Wanted, stored: StoredObject) -> bool:
        """Send an instance; True if the peer has stored it without a warning.

        Parameters
        ----------
        stored
            What storage answers to `request`.

        Raises
        ------
        ImagingError
            Why it was not sent, or not taken. The association can still be used unless it is not open any more.
        AssociationLost
            If the association ended meanwhile.
        """
        context = self._contexts.get(item.sop_class_uid, {}).get(await stored.transfer_syntax_uid())
        if context is None:
            raise UnsupportedTransferSyntax(
                "The peer takes this SOP Class in no transfer syntax that it can be sent in",
                where=item.name,
                metadata={"transfer_syntax_uid": item.transfer_syntax_uid},
            )
        data = await stored.data_set()
        if stored.data_set_bytes % 2:  # many a peer ends the association over it, some only after half a minute
            if context.transfer_syntax != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
                raise InvalidDicom(
                    "The data set has an odd number of bytes, which no DICOM message may have (PS3.8 E.1)",
                    where=item.name,
                    hint="Correct the odd lengths of its elements at the source, or retrieve it by DICOMweb.",
                )
            data = _padded(data)
        self._message_id = self._message_id % 0xFFFF + 1
        ae_title, message_id = self._originator
        command = Command(
            CommandField.C_STORE,
            affected_sop_class_uid=item.sop_class_uid,
            affected_sop_instance_uid=item.sop_instance_uid,
            message_id=self._message_id,
            priority=Priority.MEDIUM,
            move_originator_ae_title=ae_title,
            move_originator_message_id=message_id,
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS + item.size_bytes / SLOWEST_BYTES_PER_SECOND):
                await self._association.send(context, command, data)
        except TimeoutError:
            self._association.drop("the peer takes too long")
            raise AssociationLost("the peer takes too long") from None
        except ImagingError:  # in the middle of the data set: there is no other way to take it back
            self._association.abort(why="an instance could not be read to its end")
            raise
        return _is_success(await self._answer(), item)

    async def _answer(self) -> Command:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                message = await self._association.receive()
        except TimeoutError:
            self._association.abort(why="the peer did not answer")
            raise AssociationLost(f"the peer did not answer within {ANSWER_SECONDS:g} s") from None
        if message is None:
            raise AssociationLost("the peer released it before it had answered")
        if message.data is not None:
            await message.data.skip()
        command = message.command
        if not command.is_response or command.message_id_responded_to != self._message_id:
            self._association.abort(why="the peer sent something else than the answer")
            raise AssociationLost("the peer sent something else than the answer")
        return command


async def _padded(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """With the null byte that a deflated data set of an odd length should have had (PS3.5 A.5)."""
    if isinstance(data, bytes):
        yield data
    else:
        async for piece in data:
            yield piece
    yield b"\0"


def _is_success(answer: Command, item: Wanted) -> bool:
    if answer.status == status.SUCCESS:
        return True
    if answer.status in _WARNINGS:
        return False
    code = answer.status or 0
    what = f"The peer has not stored the instance: status {code:#06x}"
    if answer.error_comment.isprintable() and answer.error_comment:
        what += f", {answer.error_comment!r}"
    if code & 0xFF00 == status.OUT_OF_RESOURCES:
        raise Overloaded(what, where=item.name, hint="Try again later.")
    raise FailedPrecondition(what, where=item.name, hint="Its log tells more.")
