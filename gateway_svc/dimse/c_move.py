"""C-MOVE as SCP (PS3.4 C.4.2): instances go to an AE of the destinations, over associations of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse import status
from gateway_svc.dimse.association import Association, Message
from gateway_svc.dimse.identifier import read_identifier
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.requestor import associate
from gateway_svc.dimse.store_scu import StoreScu, proposed_contexts
from gateway_svc.dimse.sub_operations import Counts, send_all
from gateway_svc.dimse.wanted_instances import wanted_instances
from imaging.errors import FailedPrecondition, Overloaded, Unavailable

if TYPE_CHECKING:
    from gateway_svc.dimse.command import Command
    from gateway_svc.dimse.wanted_instances import Wanted
    from imaging.client.stub import StorageStub

MOST_FRUITLESS: Final = 3
"""Associations in a row that break before the destination has taken anything; then the rest has failed."""


async def c_move(
    message: Message, association: Association, storage: StorageStub, remote_aes: RemoteAes, peer: str
) -> tuple[Command, bytes | None]:
    """The last answer to a C-MOVE request and its identifier, after the sub-operations.

    Raises
    ------
    ImagingError
        Why nothing was sent.
    AssociationLost
        If the requestor went away; what is left is not sent then.
    """
    command, context = message.command, message.context
    identifier = await read_identifier(message.data, context)
    remote = remote_aes.by_ae_title(command.move_destination)
    if remote is None:
        comment = "The move destination is not in gateway.destinations"
        return command.response(status.MOVE_DESTINATION_UNKNOWN, comment), None
    wanted = await wanted_instances(storage, identifier, context.abstract_syntax)
    if not wanted:
        return Counts(0).final(command), None
    counts, fruitless = Counts(len(wanted)), 0
    left: Sequence[Wanted] = wanted

    async def tell(counts: Counts) -> None:
        await association.send(context, counts.on(command.response(status.PENDING), is_last=False))

    async def send(left: Sequence[Wanted]) -> Sequence[Wanted]:
        there = await associate(remote, remote_aes.ae_title, proposed_contexts(left))
        try:
            left = await send_all(
                storage,
                left,
                StoreScu(there, move_originator=(peer, command.message_id)),
                counts,
                is_cancelled=lambda: command.message_id in association.cancelled or not association.is_open,
                tell=tell,
                peer=remote.ae_title,
            )
            await there.release()
        finally:
            if there.is_open:
                there.abort()
        return left

    while left and fruitless < MOST_FRUITLESS:
        taken = counts.completed + counts.warned
        try:
            left = await send(left)
        except (Unavailable, FailedPrecondition, Overloaded) as error:
            if counts.remaining == len(wanted):
                return command.response(status.CANNOT_PERFORM_SUB_OPERATIONS, status.comment_of(error)), None
            break
        fruitless = fruitless + 1 if counts.completed + counts.warned == taken else 0
    counts.give_up(left)
    return counts.final(command), counts.identifier(context.transfer_syntax)
