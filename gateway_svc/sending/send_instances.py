"""SendInstances: names to instances, each sent once, every failure told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway_svc.dimse.remote_aes import remote_ae
from gateway_svc.dimse.wanted_instances import MOST_INSTANCES, Wanted, wanted_of
from gateway_svc.index_search import LARGEST_PAGE, search_page
from gateway_svc.sending.dimse import send_by_dimse
from gateway_svc.sending.stow import send_by_stow
from gateway_svc.sending.web_server import web_client
from imaging.client.patience import Patience
from imaging.errors import ImagingError, InvalidArgument, LimitExceeded, NotFound
from imaging.gateway.v1 import gateway_service_pb2 as pb
from imaging.rpc.status import domain_errors, to_status
from imaging.settings import Settings
from imaging.settings.gateway import Destination
from imaging.storage.v1 import storage_service_pb2
from imaging.work import Report

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

Result = pb.SendInstancesResponse.Result


async def send_instances(
    storage: StorageStub,
    destination: Destination,
    settings: Settings,
    names: Sequence[str],
    report: Report,
    patience: Patience,
) -> Result:
    """What was sent, and what was not with the reasons.

    Raises
    ------
    NotFound
        If nothing of a name is stored.
    Unavailable
        If storage does not answer.
    """
    wanted = await _wanted(storage, names)
    result, told = Result(), set[str]()
    report(0, len(wanted), "instances", "")

    def on_outcome(item: Wanted, error: ImagingError | None) -> None:
        told.add(item.name)
        if error is None:
            result.sent_count += 1
            result.sent_bytes += item.size_bytes
        else:
            result.failures.add(instance=item.name, error=to_status(error))
        report(len(told), len(wanted), "instances", "")

    try:
        if destination.url:
            async with web_client(destination, settings) as client:
                await send_by_stow(storage, client, wanted, on_outcome, patience)
        else:
            remote = remote_ae(destination, settings)
            await send_by_dimse(storage, remote, settings.gateway.ae_title, wanted, on_outcome, patience)
    except ImagingError as error:
        for item in wanted:
            if item.name not in told:
                on_outcome(item, error)
    return result


async def _wanted(storage: StorageStub, names: Sequence[str]) -> list[Wanted]:
    """The instances of all names, each once, in the order of the names."""
    if not names:
        raise InvalidArgument("Nothing is to be sent", where="names", hint="Name studies, series or instances.")
    found: dict[str, Wanted] = {}
    for name in names:
        if "/instances/" in name:
            with domain_errors(name):
                answer = await storage.GetInstance(storage_service_pb2.GetInstanceRequest(name=name))
            found.setdefault(name, wanted_of(answer.instance))
            continue
        token, count = "", 0
        while True:
            page, token = await search_page(storage, name, 3, [], LARGEST_PAGE, token)
            count += len(page)
            found.update((instance.name, wanted_of(instance)) for instance in page if instance.name not in found)
            if len(found) > MOST_INSTANCES:
                raise LimitExceeded(
                    f"There are more than {MOST_INSTANCES} instances", where=name, hint="Send in parts."
                )
            if not token:
                break
        if not count:
            raise NotFound("Nothing of that name is stored", where=name)
    return list(found.values())
