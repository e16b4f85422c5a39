"""Commitment reports over associations of our own, to SCUs whose association has ended: tried again for a day."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse import status
from gateway_svc.dimse.associate_pdu import Role
from gateway_svc.dimse.association import Association
from gateway_svc.dimse.commitment import CommitmentReport, CommitmentRequest, read_back
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.owed_reports import Owed, OwedReports
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.requestor import UNCOMPRESSED, associate
from gateway_svc.dimse.sop_classes import STORAGE_COMMITMENT
from imaging.errors import FailedPrecondition, ImagingError, Unavailable

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_log = logging.getLogger(__name__)

_BUSY_FOR: Final = timedelta(minutes=30)
"""Longest time for reading back before another replica begins too."""

_LOOK_EVERY_S: Final = 5.0
_ANSWER_SECONDS: Final = 30.0


class ReportDelivery:
    """Delivers what is owed and what no acceptor is at.

    Attributes
    ----------
    held
        What the acceptors of this gateway are at.
    """

    def __init__(self, storage: StorageStub, remote_aes: RemoteAes, reports: OwedReports) -> None:
        self._storage = storage
        self._remote_aes = remote_aes
        self._reports = reports
        self.held: set[Owed] = set()
        self._is_ending = False

    def end(self) -> None:
        """Begin no more: `run` comes back when what is on its way was taken or not."""
        self._is_ending = True
        self._reports.due.set()

    async def run(self) -> None:
        """Deliver what is due, until `end` or cancelled."""
        while not self._is_ending:
            try:
                await self._reports.hold(self.held)
                while not self._is_ending and (due := await self._reports.take_due(_BUSY_FOR)):
                    await asyncio.gather(*(self._deliver(owed, request) for owed, request in due))
            except ImagingError as error:
                _log.warning("commitments cannot be looked at now", extra={"error": error.text})
            except Exception:  # noqa: BLE001 - one that meets a defect must not keep all others from being reported
                _log.exception("commitment reports met a defect")
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._reports.due.wait()
                self._reports.due.clear()
            except TimeoutError:
                continue

    async def _deliver(self, owed: Owed, request: CommitmentRequest) -> None:
        try:
            await self._report(owed, request)
        except (ImagingError, AssociationLost, TimeoutError) as error:
            goes_on = await self._reports.fail(owed)
            _log.warning(
                "a commitment report was not taken" + ("" if goes_on else "; it is given up"),
                extra={"ae_title": owed.ae_title, "why": str(error) or "no answer"},
            )
        else:
            await self._reports.settle(owed)

    async def _report(self, owed: Owed, request: CommitmentRequest) -> None:
        remote = self._remote_aes.by_ae_title(owed.ae_title)
        if remote is None:
            raise FailedPrecondition("The AE that asked has left, and is not in gateway.destinations")
        report = await read_back(self._storage, request)
        association = await associate(
            remote,
            self._remote_aes.ae_title,
            [(STORAGE_COMMITMENT, UNCOMPRESSED)],
            roles={STORAGE_COMMITMENT: Role(is_scu=False, is_scp=True)},
        )
        await _send(report, association, self._remote_aes.ae_title)


async def _send(report: CommitmentReport, association: Association, own_ae_title: str) -> None:
    try:
        context = next(iter(association.contexts.values()), None)
        if context is None:
            raise Unavailable("The AE does not take commitment reports", where=STORAGE_COMMITMENT)
        await association.send(context, report.command(1), report.encoded(own_ae_title, context.transfer_syntax))
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await association.receive()
        if answer is None or answer.command.status != status.SUCCESS:
            raise Unavailable("The AE has refused the report")
        await association.release()
    finally:
        if association.is_open:
            association.abort()
