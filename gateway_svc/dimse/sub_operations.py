"""The C-STORE sub-operations of a C-MOVE or C-GET (PS3.4 C.4.2, C.4.3): sent one by one, counted, told of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse import status
from gateway_svc.dimse.command import Command
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.identifier import Element, encode_identifier
from gateway_svc.dimse.store_scu import StoreScu
from gateway_svc.dimse.stored_object import UpcomingObjects
from gateway_svc.dimse.wanted_instances import Wanted
from imaging.errors import ImagingError

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_log = logging.getLogger(__name__)
_FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058
PENDING_EVERY_SECONDS: Final = 0.5


@dataclass(slots=True)
class Counts:
    """What became of the sub-operations."""

    remaining: int
    completed: int = 0
    warned: int = 0
    failed: list[str] = field(default_factory=list)
    """SOP Instance UIDs."""

    is_cancelled: bool = False

    def give_up(self, left: Sequence[Wanted]) -> None:
        """Count as failed what will not be sent."""
        self.remaining -= len(left)
        self.failed += [item.sop_instance_uid for item in left]

    def on(self, response: Command, *, is_last: bool) -> Command:
        """The response with these counts; how many remain is told while it goes on, and after a cancel."""
        remaining = self.remaining if not is_last or self.is_cancelled else None
        return replace(
            response, remaining=remaining, completed=self.completed, failed=len(self.failed), warned=self.warned
        )

    def final(self, request: Command) -> Command:
        """The last response (PS3.4 C.4.2.1.5)."""
        if self.is_cancelled:
            code = status.CANCELLED
        elif not self.failed and not self.warned:
            code = status.SUCCESS
        elif self.failed and not self.completed and not self.warned:
            code = status.CANNOT_PERFORM_SUB_OPERATIONS
        else:
            code = status.SUB_OPERATIONS_FAILED
        return self.on(request.response(code), is_last=True)

    def identifier(self, transfer_syntax_uid: str) -> bytes | None:
        """The instances that failed, for the last response; None if there are none."""
        if not self.failed:
            return None
        return encode_identifier(
            [Element(_FAILED_SOP_INSTANCE_UID_LIST, "UI", "\\".join(self.failed))], transfer_syntax_uid
        )


async def send_all(
    storage: StorageStub,
    wanted: Sequence[Wanted],
    scu: StoreScu,
    counts: Counts,
    *,
    is_cancelled: Callable[[], bool],
    tell: Callable[[Counts], Awaitable[None]],
    peer: str,
) -> Sequence[Wanted]:
    """Send each instance; one that fails does not stop the others. What is left when the association is lost.

    Parameters
    ----------
    counts
        What becomes of each is counted here.
    tell
        Called with the counts at most every `PENDING_EVERY_SECONDS`.
    peer
        Who they are sent to, for the log.
    """
    loop = asyncio.get_running_loop()
    told = loop.time()
    with closing(UpcomingObjects(storage, [scu.request(item) for item in wanted])) as upcoming:
        for number, item in enumerate(wanted, start=1):
            if is_cancelled():
                counts.is_cancelled = True
                return ()
            counts.remaining -= 1
            try:
                if await scu.send(item, upcoming.take()):
                    counts.completed += 1
                else:
                    counts.warned += 1
            except ImagingError as error:
                counts.failed.append(item.sop_instance_uid)
                _log.warning(
                    "an instance was not sent", extra={"to": peer, "reason": error.reason, "error": error.text}
                )
                if not scu.is_open:
                    return wanted[number:]
            except AssociationLost as error:
                counts.failed.append(item.sop_instance_uid)
                _log.warning("the association to send instances was lost", extra={"to": peer, "why": str(error)})
                return wanted[number:]
            if loop.time() - told >= PENDING_EVERY_SECONDS and counts.remaining:
                await tell(counts)
                told = loop.time()
    return ()
