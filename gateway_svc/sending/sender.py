"""Sending for those who ask, and again for what failed: what becomes of each instance is written down."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gateway_svc.destinations import destination_of
from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.sending.failed_sends import FailedSends, failed_send_name
from gateway_svc.sending.send_instances import instances_of, send_instances
from imaging.client.patience import Patience
from imaging.errors import ImagingError
from imaging.gateway.v1 import gateway_pb2
from imaging.gateway.v1 import gateway_service_pb2 as pb
from imaging.rpc.status import to_status
from imaging.settings import Settings
from imaging.settings.gateway import Destination
from imaging.work import Report

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

Result = pb.SendInstancesResponse.Result

_log = logging.getLogger(__name__)
_NO_PATIENCE: Final = Patience(give_up_after=timedelta(0))
_BUSY_FOR: Final = timedelta(minutes=10)
"""Of what one replica sends again another one keeps off; one that died in it has left it for so long."""


class Sender:
    """Sends to the destinations of the settings.

    Parameters
    ----------
    patience
        With a destination that does not answer, while somebody waits for it.
    """

    def __init__(self, settings: Settings, storage: StorageStub, failed: FailedSends, patience: Patience) -> None:
        self._settings = settings
        self._storage = storage
        self._failed = failed
        self._patience = patience
        self._look_every_s = min(15.0, settings.gateway.send_again_seconds)

    async def send(self, request: pb.SendInstancesRequest, destination: Destination, report: Report) -> Result:
        """What was sent, and what was not with the reasons, which are in the list of failed sends then.

        Raises
        ------
        NotFound
            If nothing of a name is stored.
        Unavailable
            If storage does not answer.
        """
        wanted = await instances_of(self._storage, request.names)
        result, sent, failed = Result(), set[str](), dict[str, ImagingError]()
        report(0, len(wanted), "instances", "")

        def on_outcome(item: Wanted, error: ImagingError | None) -> None:
            if error is None:
                sent.add(item.name)
                result.sent_count += 1
                result.sent_bytes += item.size_bytes
            else:
                failed[item.name] = error
                name = failed_send_name(request.destination, item.name)
                result.failures.add(instance=item.name, error=to_status(error), failed_send=name)
            report(len(sent) + len(failed), len(wanted), "instances", "")

        await send_instances(self._storage, destination, self._settings, wanted, on_outcome, self._patience)
        context = request.context
        await self._failed.record(request.destination, sent, failed, run=context.run, stage=context.stage)
        return result

    async def send_again(self, failed: Sequence[gateway_pb2.FailedSend]) -> None:
        """Try failed sends once more, each destination by itself; what became of them is in the list."""
        by_destination: defaultdict[str, list[str]] = defaultdict(list)
        for one in failed:
            by_destination[one.destination].append(one.instance)
        await asyncio.gather(*(self._send_again(name, instances) for name, instances in by_destination.items()))

    async def run(self) -> None:
        """Try again what is due, until cancelled."""
        while True:
            try:
                while due := await self._failed.take_due(_BUSY_FOR):
                    try:
                        await self.send_again(due)
                    except asyncio.CancelledError:
                        await self._failed.put_back([one.name for one in due])
                        raise
            except ImagingError as error:
                _log.warning("failed sends cannot be tried again now", extra={"error": error.text})
            except Exception:  # noqa: BLE001 - one that meets a defect must not keep all others from being sent
                _log.exception("failed sends met a defect")
            await asyncio.sleep(self._look_every_s)

    async def _send_again(self, name: str, instances: Sequence[str]) -> None:
        sent, failed, wanted = set[str](), dict[str, ImagingError](), list[Wanted]()
        try:
            destination = destination_of(name, self._settings.gateway.destinations)
        except ImagingError as error:
            await self._failed.record(name, (), dict.fromkeys(instances, error), is_again=True)
            return
        for instance in instances:
            try:
                wanted += await instances_of(self._storage, [instance])
            except ImagingError as error:  # deleted since
                failed[instance] = error

        def on_outcome(item: Wanted, error: ImagingError | None) -> None:
            if error is None:
                sent.add(item.name)
            else:
                failed[item.name] = error

        if wanted:
            await send_instances(self._storage, destination, self._settings, wanted, on_outcome, _NO_PATIENCE)
        await self._failed.record(name, sent, failed, is_again=True)
        _log.info("sent again", extra={"destination": name, "sent": len(sent), "failed": len(failed)})
