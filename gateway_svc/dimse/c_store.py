"""C-STORE as SCP (PS3.4 B, PS3.7 9.1.1): data sets go to storage as they come, and are acknowledged when stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from gateway_svc.dimse import status
from gateway_svc.dimse.association import Message
from gateway_svc.dimse.command import Command
from gateway_svc.dimse.data_set import IncomingDataSet
from gateway_svc.dimse.pdu_stream import RECEIVE_BYTES
from gateway_svc.dimse.storage_upload import Announcement, StorageUpload
from gateway_svc.store_stream import CHUNK_BYTES, WHOLE_BYTES
from imaging.dicom.implementation import part10_prefix
from imaging.dicom.uid import validate_uid
from imaging.errors import InvalidDicom

_AT_ONCE: Final = 256 * 1024
"""Bytes of an instance that are always held in memory."""


class HeldBytes:
    """What all associations of a process may hold of instances that are not whole yet.

    Who finds no room sends its instance on in chunks instead of holding it whole, which needs little memory; so nobody
    waits for the room of another, who might wait for its own sender.
    """

    def __init__(self, most: int = 128 * 1024 * 1024) -> None:
        self._left = most

    def reserve(self, size: int) -> bool:
        """True if there is room; give it back later."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Room for others."""
        self._left += size


async def c_store(message: Message, upload: StorageUpload, source: str, held: HeldBytes) -> Command:
    """The answer to a C-STORE request, once its instance is stored or refused.

    Raises
    ------
    ImagingError
        Why it is not stored.
    AssociationLost
        If the sender went away meanwhile; nothing of the instance stays then.
    """
    command, context, data = message.command, message.context, message.data
    if command.affected_sop_class_uid != context.abstract_syntax:
        return command.response(status.SOP_CLASS_NOT_SUPPORTED, "The class is not that of the presentation context")
    validate_uid(command.affected_sop_instance_uid, where="(0000,1000)", name="Affected SOP Instance UID")
    if data is None:
        raise InvalidDicom("The command says that no data set follows", where="(0000,0800)", hint="Send one.")
    announced = Announcement(command.affected_sop_class_uid, command.affected_sop_instance_uid, source)
    prefix = part10_prefix(announced.sop_class_uid, announced.sop_instance_uid, context.transfer_syntax)
    pieces = [prefix, *await data.take(_AT_ONCE)]
    if not data.is_exhausted and held.reserve(WHOLE_BYTES):
        try:
            pieces += await data.take(WHOLE_BYTES - sum(map(len, pieces)) - RECEIVE_BYTES)
            await _store(announced, pieces, data, upload)
        finally:
            held.give_back(WHOLE_BYTES)
    else:
        await _store(announced, pieces, data, upload)
    return command.response(status.SUCCESS)


async def _store(announced: Announcement, pieces: list[bytes], data: IncomingDataSet, upload: StorageUpload) -> None:
    if data.is_exhausted:
        await upload.store_whole(announced, pieces)
    else:
        await upload.store_chunks(announced, _chunks(pieces, data))


async def _chunks(pieces: list[bytes], data: IncomingDataSet) -> AsyncIterator[bytes]:
    """What has come and what comes, in chunks of at most `CHUNK_BYTES`."""
    while True:
        view = memoryview(b"".join(pieces))
        pieces.clear()
        for offset in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[offset : offset + CHUNK_BYTES])
        if data.is_exhausted:
            return
        pieces += await data.take(CHUNK_BYTES - RECEIVE_BYTES)
