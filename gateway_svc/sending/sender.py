"""Sending for those who ask: what becomes of each instance is told, and written down."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.sending.failed_sends import FailedSends, failed_send_name
from gateway_svc.sending.send_instances import instances_of, send_instances
from gateway_svc.sending.written_down import written_down
from imaging.client.patience import Patience
from imaging.errors import ImagingError
from imaging.gateway.v1 import gateway_service_pb2 as pb
from imaging.rpc.status import to_status
from imaging.settings import Settings
from imaging.settings.gateway import Destination
from imaging.work import Report

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

Result = pb.SendInstancesResponse.Result


MOST_TOLD: Final = 1000
"""Failures of a result, which is one message; the list of failed sends has them all."""


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
        result, done = Result(), 0
        report(0, len(wanted), "instances", "")
        context = request.context
        record = partial(self._failed.record, request.destination, run=context.run, stage=context.stage)
        async with written_down(record) as tell:

            def on_outcome(item: Wanted, error: ImagingError | None) -> None:
                nonlocal done
                done += 1
                tell(item, error)
                if error is None:
                    result.sent_count += 1
                    result.sent_bytes += item.size_bytes
                else:
                    result.failed_count += 1
                    if result.failed_count <= MOST_TOLD:
                        name = failed_send_name(request.destination, item.name)
                        result.failures.add(instance=item.name, error=to_status(error), failed_send=name)
                report(done, len(wanted), "instances", "")

            await send_instances(self._storage, destination, self._settings, wanted, on_outcome, self._patience)
        return result
