"""To a destination: names to instances, each sent once, every outcome told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway_svc.dimse.remote_aes import remote_ae
from gateway_svc.dimse.wanted_instances import MOST_INSTANCES, Wanted, wanted_of
from gateway_svc.index_search import LARGEST_PAGE, search_page
from gateway_svc.sending.dimse import send_by_dimse
from gateway_svc.sending.outcome import OnOutcome
from gateway_svc.sending.stow import send_by_stow
from gateway_svc.sending.web_server import web_client
from imaging.client.patience import Patience
from imaging.errors import ImagingError, InvalidArgument, LimitExceeded, NotFound
from imaging.rpc.status import domain_errors
from imaging.settings import Settings
from imaging.settings.gateway import Destination
from imaging.storage.v1 import storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


async def send_instances(
    storage: StorageStub,
    destination: Destination,
    settings: Settings,
    wanted: Sequence[Wanted],
    on_outcome: OnOutcome,
    patience: Patience,
) -> None:
    """Send each instance; `on_outcome` is told once of each, whatever happens."""
    told: set[str] = set()

    def tell(item: Wanted, error: ImagingError | None) -> None:
        told.add(item.name)
        on_outcome(item, error)

    try:
        if destination.url:
            async with web_client(destination, settings) as client:
                await send_by_stow(storage, client, wanted, tell, patience)
        else:
            remote = remote_ae(destination, settings)
            await send_by_dimse(storage, remote, settings.gateway.ae_title, wanted, tell, patience)
    except ImagingError as error:
        for item in wanted:
            if item.name not in told:
                tell(item, error)


async def instances_of(storage: StorageStub, names: Sequence[str]) -> list[Wanted]:
    """The instances of all names, each once, in the order of the names.

    Raises
    ------
    InvalidArgument
        If there are no names.
    NotFound
        If nothing of a name is stored.
    LimitExceeded
        If there are more than `MOST_INSTANCES`.
    Unavailable
        If storage does not answer.
    """
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
