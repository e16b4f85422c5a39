"""The DICOMweb area: which handler answers which resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from gateway_svc.dicomweb.answer_cache import AnswerCache
from gateway_svc.dicomweb.retrieve_bulkdata import send_bulk_data
from gateway_svc.dicomweb.retrieve_frames import send_frames
from gateway_svc.dicomweb.retrieve_instances import send_instances
from gateway_svc.dicomweb.retrieve_metadata import send_metadata
from gateway_svc.dicomweb.retrieve_rendered import RenderedResources
from gateway_svc.dicomweb.search import send_search
from gateway_svc.dicomweb.store import store_instances
from gateway_svc.dicomweb.target import ROOT, Target, parse_target
from gateway_svc.http.exchange import Exchange
from gateway_svc.http.refusals import MethodNotAllowed
from imaging.errors import NotFound, Overloaded

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

Handler = Callable[[Exchange, "StorageStub", Target], Awaitable[None]]

_GET: Final = ("GET", "HEAD")

MAX_STORES: Final = 64
"""Each holds up to one instance of 3.5 MB."""

METADATA_BYTES: Final = 64 * 1024 * 1024
METADATA_BYTES_OF_ONE: Final = 16 * 1024 * 1024
"""Of compressed metadata answers that are kept."""


class DicomWeb:
    """Answers requests below `/dicom-web`."""

    def __init__(self, storage: StorageStub, rendered: RenderedResources) -> None:
        self._storage = storage
        self._storing = 0
        metadata = AnswerCache(METADATA_BYTES, METADATA_BYTES_OF_ONE)
        self._readers: dict[str, Handler] = {
            "": send_instances,
            "metadata": lambda exchange, stub, target: send_metadata(exchange, stub, metadata, target),
            "frames": send_frames,
            "rendered": rendered.send_rendered,
            "frames/rendered": rendered.send_rendered,
            "thumbnail": rendered.send_thumbnail,
            "frames/thumbnail": rendered.send_thumbnail,
            "bulkdata": send_bulk_data,
            "search/studies": send_search,
            "search/series": send_search,
            "search/instances": send_search,
        }

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        target = parse_target(exchange.path.split("/")[2:])
        exchange.route = ROOT + target.route
        handler = self._readers.get(target.resource)
        if handler is None or (not target.level and not target.resource):
            raise NotFound(
                "There is no such resource", where="path", hint="Search /dicom-web/studies; /series and /instances too."
            )
        takes_instances = (target.level, target.resource) in ((0, "search/studies"), (1, ""))
        if exchange.method == "POST" and takes_instances:
            handler = self._store
        elif exchange.method not in _GET:
            allowed = "GET, HEAD, POST" if takes_instances else "GET, HEAD"
            raise MethodNotAllowed(
                "The resource has no such method", where="path", hint=f"It has {allowed}.", metadata={"allow": allowed}
            )
        await handler(exchange, self._storage, target)

    async def _store(self, exchange: Exchange, storage: StorageStub, target: Target) -> None:
        if self._storing >= MAX_STORES:
            raise Overloaded(
                f"{MAX_STORES} stores are under way", where="STOW-RS", hint="Send again later.", retry_after_seconds=5
            )
        self._storing += 1
        try:
            await store_instances(exchange, storage, target)
        finally:
            self._storing -= 1
