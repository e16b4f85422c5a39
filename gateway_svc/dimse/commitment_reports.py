"""Commitment reports over the association that asked, while it is there; else the gateway delivers what is owed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse.association import Association, Context
from gateway_svc.dimse.commitment import CommitmentRequest, read_back
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.ledger import Ledger
from gateway_svc.dimse.owed_reports import Owed
from imaging.errors import ImagingError, Overloaded

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

MOST_UNANSWERED: Final = 100
"""Reports of one association that the SCU has not answered yet."""

_log = logging.getLogger(__name__)


class CommitmentReports:
    """The reports of one association. Each is in the ledger until its answer has come."""

    def __init__(self, storage: StorageStub, ledger: Ledger, own_ae_title: str, ae_title: str) -> None:
        self._storage = storage
        self._ledger = ledger
        self._own_ae_title = own_ae_title
        self._ae_title = ae_title
        self._asked: list[tuple[Owed, CommitmentRequest, Context]] = []
        self._unanswered: dict[int, Owed] = {}
        """By message id."""

    async def promise(self, request: CommitmentRequest, context: Context) -> None:
        """A report will come, whatever happens from now on.

        Raises
        ------
        Overloaded
            If the SCU answers no reports.
        Unavailable
            If that could not be written down.
        """
        if len(self._unanswered) >= MOST_UNANSWERED:
            raise Overloaded("Too many commitment reports are not answered", hint="Answer them, or associate anew.")
        self._asked.append((await self._ledger.keep(self._ae_title, request), request, context))

    async def report(self, association: Association, message_id: int) -> None:
        """Read back and report what was asked for, as long as the association is there.

        Raises
        ------
        AssociationLost
            If it ended; what is owed then is left for `close`.
        """
        while self._asked:
            owed, request, context = self._asked[-1]
            reading = asyncio.create_task(read_back(self._storage, request), name="commitment-read-back")
            ended = asyncio.create_task(association.wait_ended(), name="association-ended")
            try:
                await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not association.is_open:
                    raise AssociationLost("it ended before the commitment report")
                report = await reading
            except ImagingError as error:
                _log.warning("a commitment could not be checked", extra={"reason": error.reason, "error": error.text})
                self._asked.pop()
                await self._ledger.release(owed)  # the gateway tries again
                continue
            finally:
                for task in (reading, ended):
                    task.cancel()
            data = report.encoded(self._own_ae_title, context.transfer_syntax)
            await association.send(context, report.command(message_id), data)
            self._asked.pop()
            self._unanswered[message_id] = owed
            message_id = message_id % 0xFFFF + 1

    async def answered(self, message_id: int, *, is_success: bool) -> bool:
        """The SCU has answered a report; False if there was none of that number."""
        owed = self._unanswered.pop(message_id, None)
        if owed is None:
            return False
        await (self._ledger.settle(owed) if is_success else self._ledger.release(owed))
        return True

    async def close(self) -> None:
        """The association has ended: the gateway takes over what is owed."""
        for owed in (*(owed for owed, *_ in self._asked), *self._unanswered.values()):
            await self._ledger.release(owed)
