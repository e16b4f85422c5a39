"""Commitment reports on their way: over the association that asked while it is there, else over one of our own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from gateway_svc.dimse import status
from gateway_svc.dimse.associate_pdu import Role
from gateway_svc.dimse.association import Association, Context
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.commitment import CommitmentReport, CommitmentRequest, read_back
from gateway_svc.dimse.conversion import TARGETS
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.requestor import associate
from gateway_svc.dimse.sop_classes import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from imaging.errors import ImagingError, Unavailable

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = (5.0, 30.0, 120.0, 600.0)
"""Waits before a report, or the reading back, is tried again; then it is given up, and the SCU asks anew."""

_ANSWER_SECONDS: Final = 30.0


class CommitmentReports:
    """The reports of one acceptor process. They are in memory: an SCU that gets none asks again (PS3.4 J.3.2)."""

    def __init__(self, storage: StorageStub, remote_aes: RemoteAes) -> None:
        self._storage = storage
        self._remote_aes = remote_aes
        self._tasks: set[asyncio.Task[None]] = set()

    async def report(
        self, request: CommitmentRequest, association: Association, context: Context, ae_title: str, message_id: int
    ) -> CommitmentReport | None:
        """Read back and report over the association, if it is still there then; the report that awaits its answer.

        Otherwise it goes over an association of our own, later; None.
        """
        reading = asyncio.create_task(self._read_back(request), name="commitment-read-back")
        ended = asyncio.create_task(association.wait_ended(), name="association-ended")
        try:
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            reading.cancel()
            raise
        finally:
            ended.cancel()
        if association.is_open:
            report = await reading
            if report is None:
                return None
            data = report.encoded(self._remote_aes.ae_title, context.transfer_syntax)
            try:
                await association.send(context, _command(report, message_id), data)
            except AssociationLost:
                self.deliver(report, ae_title)
                raise
            return report

        async def later() -> None:
            report = await reading
            if report is not None:
                await self._deliver(report, ae_title)

        self._start(later())
        return None

    def deliver(self, report: CommitmentReport, ae_title: str) -> None:
        """Send a report that was not answered over an association of our own, in the background."""
        self._start(self._deliver(report, ae_title))

    async def close(self) -> None:
        """Give up what is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="commitment-report")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_back(self, request: CommitmentRequest) -> CommitmentReport | None:
        for wait in (*RETRY_AFTER_SECONDS, None):
            try:
                return await read_back(self._storage, request)
            except ImagingError as error:
                _log.warning("a commitment could not be checked", extra={"reason": error.reason, "error": error.text})
            if wait is not None:
                await asyncio.sleep(wait)
        return None

    async def _deliver(self, report: CommitmentReport, ae_title: str) -> None:
        remote = self._remote_aes.by_ae_title(ae_title)
        if remote is None:
            _log.warning(
                "a commitment report has nowhere to go: the AE that asked has left and is not in gateway.destinations",
                extra={"ae_title": ae_title},
            )
            return
        for wait in (*RETRY_AFTER_SECONDS, None):
            try:
                association = await associate(
                    remote,
                    self._remote_aes.ae_title,
                    [(STORAGE_COMMITMENT, TARGETS)],
                    roles={STORAGE_COMMITMENT: Role(is_scu=False, is_scp=True)},
                )
                await _send(report, association, self._remote_aes.ae_title)
            except (ImagingError, AssociationLost, TimeoutError) as error:
                _log.warning(
                    "a commitment report was not taken", extra={"ae_title": ae_title, "why": str(error) or "no answer"}
                )
            else:
                return
            if wait is not None:
                await asyncio.sleep(wait)


async def _send(report: CommitmentReport, association: Association, own_ae_title: str) -> None:
    try:
        context = next(iter(association.contexts.values()), None)
        if context is None:
            raise Unavailable("The AE does not take commitment reports", where=STORAGE_COMMITMENT)
        await association.send(context, _command(report, 1), report.encoded(own_ae_title, context.transfer_syntax))
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await association.receive()
        if answer is None or answer.command.status != status.SUCCESS:
            raise Unavailable("The AE has refused the report")
        await association.release()
    finally:
        if association.is_open:
            association.abort()


def _command(report: CommitmentReport, message_id: int) -> Command:
    return Command(
        CommandField.N_EVENT_REPORT,
        affected_sop_class_uid=STORAGE_COMMITMENT,
        affected_sop_instance_uid=STORAGE_COMMITMENT_INSTANCE,
        message_id=message_id,
        event_type_id=report.event_type_id,
    )
