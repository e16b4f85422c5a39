"""N-ACTION as SCP of storage commitment (PS3.4 J.3.2): the request is taken; the report follows by N-EVENT-REPORT."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway_svc.dimse import status
from gateway_svc.dimse.association import Message
from gateway_svc.dimse.command import Command
from gateway_svc.dimse.commitment import MOST_BYTES, CommitmentRequest, read_request
from gateway_svc.dimse.identifier import identifier_bytes
from gateway_svc.dimse.sop_classes import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from imaging.errors import InvalidArgument

_REQUEST_STORAGE_COMMITMENT: Final = 1


async def n_action(message: Message) -> tuple[Command, CommitmentRequest | None]:
    """The answer, and what is to be committed if it is success.

    Raises
    ------
    AssociationLost
        If the SCU went away before the request was whole.
    """
    command = message.command
    if command.requested_sop_class_uid != STORAGE_COMMITMENT:
        return command.response(status.SOP_CLASS_NOT_SUPPORTED), None
    if command.requested_sop_instance_uid != STORAGE_COMMITMENT_INSTANCE:
        return command.response(status.NO_SUCH_INSTANCE, "Commitment is asked of 1.2.840.10008.1.20.1.1"), None
    if command.action_type_id != _REQUEST_STORAGE_COMMITMENT:
        return command.response(status.NO_SUCH_ACTION), None
    try:
        content = await identifier_bytes(message.data, MOST_BYTES)
        request = await asyncio.to_thread(read_request, content, message.context.transfer_syntax)
    except InvalidArgument as error:
        return command.response(status.INVALID_ARGUMENT_VALUE, status.comment_of(error)), None
    return command.response(status.SUCCESS), request
