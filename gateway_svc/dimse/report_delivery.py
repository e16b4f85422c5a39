"""Commitment reports over associations of our own, to SCUs whose association has ended: tried again for a day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse import status
from gateway_svc.dimse.associate_pdu import Role
from gateway_svc.dimse.association import Association
from gateway_svc.dimse.commitment import CommitmentReport, CommitmentRequest, read_back
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.owed_reports import HELD_FOR, Owed, OwedReports
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.requestor import UNCOMPRESSED, RemoteAe, associate
from gateway_svc.dimse.sop_classes import STORAGE_COMMITMENT
from imaging.errors import FailedPrecondition, ImagingError, Unavailable

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 5.0
_HOLD_EVERY_S: Final = HELD_FOR.total_seconds() / 4
_ANSWER_SECONDS: Final = 30.0


class ReportDelivery:
    """Delivers what is owed and what no acceptor is at.

    Attributes
    ----------
    held
        What the acceptors of this gateway are at.
    """

    def __init__(
        self,
        storage: StorageStub,
        remote_aes: RemoteAes,
        reports: OwedReports,
        *,
        hold_every_seconds: float = _HOLD_EVERY_S,
    ) -> None:
        self._storage = storage
        self._remote_aes = remote_aes
        self._reports = reports
        self._hold_every_seconds = hold_every_seconds
        self.held: set[Owed] = set()
        self._on_their_way: set[Owed] = set()
        self._is_ending = False

    def end(self) -> None:
        """Begin no more: `run` comes back when what is on its way was taken or not."""
        self._is_ending = True
        self._reports.due.set()

    async def run(self) -> None:
        """Deliver what is due, until `end`; or cancelled, and then what is on its way is due at once."""
        holding = asyncio.create_task(self._keep_holding(), name="commitment-holds")
        try:
            while not self._is_ending:
                await self._deliver_due()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._reports.due.wait()
                    self._reports.due.clear()
        finally:
            holding.cancel()

    async def _keep_holding(self) -> None:
        """Other replicas keep off, however long a delivery takes; when this one dies, for two minutes."""
        while True:
            await asyncio.sleep(self._hold_every_seconds)
            with _logged():
                await self._hold()

    async def _hold(self) -> None:
        await self._reports.hold(self.held | self._on_their_way)

    async def _deliver_due(self) -> None:
        with _logged():
            await self._hold()
            while not self._is_ending and (due := await self._reports.take_due(HELD_FOR)):
                await asyncio.gather(*(self._deliver(owed, request) for owed, request in due))

    async def _deliver(self, owed: Owed, request: CommitmentRequest) -> None:
        with _logged():
            try:
                problem = await self._try(owed, request)
                if not problem:
                    await self._reports.settle(owed)
                    return
                goes_on = await self._reports.fail(owed)
                _log.warning(
                    "a commitment report was not taken" + ("" if goes_on else "; it is given up"),
                    extra={"ae_title": owed.ae_title, "why": problem},
                )
            except asyncio.CancelledError:
                await self._reports.release((owed,))
                raise

    async def _try(self, owed: Owed, request: CommitmentRequest) -> str:
        """Why the report was not taken; empty if it was."""
        self._on_their_way.add(owed)
        try:
            await self._report(owed, request)
        except (ImagingError, AssociationLost, TimeoutError) as error:
            return str(error) or "no answer"
        except Exception:  # noqa: BLE001 - it counts as a try, so that one which always meets a defect has an end
            _log.exception("a commitment report met a defect")
            return "the gateway met a defect"
        finally:
            self._on_their_way.discard(owed)
        return ""

    async def _report(self, owed: Owed, request: CommitmentRequest) -> None:
        remote = self._remote_aes.by_ae_title(owed.ae_title)
        if remote is None:
            raise FailedPrecondition("The AE that asked has left, and is not in gateway.destinations")
        # First: an AE that is away all day must not cost reading its study again and again.
        association = await self._call(remote)
        try:
            report = await read_back(self._storage, request)
            if not association.is_open:  # it did not like to wait
                association.abort()
                association = await self._call(remote)
            await _send(report, association, self._remote_aes.ae_title)
        finally:
            association.abort()

    async def _call(self, remote: RemoteAe) -> Association:
        association = await associate(
            remote,
            self._remote_aes.ae_title,
            [(STORAGE_COMMITMENT, UNCOMPRESSED)],
            roles={STORAGE_COMMITMENT: Role(is_scu=False, is_scp=True)},
        )
        if not association.contexts:
            association.abort()
            raise Unavailable("The AE does not take commitment reports", where=STORAGE_COMMITMENT)
        return association


async def _send(report: CommitmentReport, association: Association, own_ae_title: str) -> None:
    (context,) = association.contexts.values()
    await association.send(context, report.command(1), report.encoded(own_ae_title, context.transfer_syntax))
    async with asyncio.timeout(_ANSWER_SECONDS):
        answer = await association.receive()
    if answer is None or answer.command.status != status.SUCCESS:
        raise Unavailable("The AE has refused the report")
    await association.release()


@contextmanager
def _logged() -> Iterator[None]:
    """What fails here is tried again."""
    try:
        yield
    except ImagingError as error:
        _log.warning("commitments cannot be looked at now", extra={"error": error.text})
    except Exception:  # noqa: BLE001 - one that meets a defect must not keep all others from being reported
        _log.exception("commitment reports met a defect")
