"""C-GET as SCP (PS3.4 C.4.3): instances go back over the association of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_svc.dimse import status
from gateway_svc.dimse.association import Association, Message
from gateway_svc.dimse.identifier import read_identifier
from gateway_svc.dimse.store_scu import StoreScu
from gateway_svc.dimse.sub_operations import Counts, send_all
from gateway_svc.dimse.wanted_instances import wanted_instances

if TYPE_CHECKING:
    from gateway_svc.dimse.command import Command
    from imaging.client.stub import StorageStub


async def c_get(
    message: Message, association: Association, storage: StorageStub, peer: str
) -> tuple[Command, bytes | None]:
    """The last answer to a C-GET request and its identifier, after the sub-operations.

    Raises
    ------
    ImagingError
        Why nothing was sent.
    AssociationLost
        If the requestor went away.
    """
    command, context = message.command, message.context
    identifier = await read_identifier(message.data, context)
    wanted = await wanted_instances(storage, identifier, context.abstract_syntax)

    async def tell(counts: Counts) -> None:
        await association.send(context, counts.on(command.response(status.PENDING), is_last=False))

    counts = Counts(len(wanted))
    left = await send_all(
        storage,
        wanted,
        StoreScu(association),
        counts,
        is_cancelled=lambda: command.message_id in association.cancelled,
        tell=tell,
        peer=peer,
    )
    counts.give_up(left)
    return counts.final(command), counts.identifier(context.transfer_syntax)
