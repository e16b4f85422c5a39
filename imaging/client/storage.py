"""The client of the storage service that every service, the SDK and the command line use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from imaging.client.changes import watch_changes
from imaging.client.headers import InstanceHeader, read_headers
from imaging.client.metadata import Metadata, retrieve_metadata
from imaging.client.objects import retrieve_objects
from imaging.client.patience import Patience
from imaging.client.upload import StoreResult, Upload
from imaging.client.upload_stream import UploadStream
from imaging.rpc.call_messages import messages_of
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2, storage_service_pb2, storage_service_pb2_grpc

if TYPE_CHECKING:
    import pydicom

    from imaging.client.frame import Frame
    from imaging.client.stub import StorageStub
    from imaging.client.volume_reading import Progress
    from imaging.codecs.sandbox import DecodePool
    from imaging.volume.volume import Volume

__all__ = ["InstanceHeader", "Metadata", "Patience", "StorageClient", "StoreResult", "Upload"]

T = TypeVar("T")
Selection = storage_service_pb2.RetrieveFramesRequest.Selection
FrameOrder = storage_service_pb2.RetrieveFramesRequest.Order


_LARGEST_PAGE: Final = 1000


class StorageClient:
    """Typed calls of the storage service. Every failure is an `ImagingError`.

    Broken streams are gone on with for as long as `patience` allows. The channel stays the caller's; a decode pool
    that was not given is made when the first frame needs it and ends with `close`.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, decode_pool: DecodePool | None = None, patience: Patience | None = None
    ) -> None:
        self._stub: StorageStub = storage_service_pb2_grpc.StorageServiceStub(channel)
        self._pool = decode_pool
        self._own_pool = decode_pool is None
        self._patience = patience or Patience()

    async def close(self) -> None:
        """End the decode pool, if it is our own."""
        if self._own_pool and self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def check_reachable(self) -> None:
        """Pass if storage answers within a few seconds, so that a long upload need not find out late.

        Raises
        ------
        Unavailable
            If it does not.
        """
        with domain_errors("storage"):
            await self._stub.SearchStudies(storage_service_pb2.SearchStudiesRequest(page_size=1))

    async def get_study(self, name: str) -> storage_pb2.Study:
        """The study `studies/{uid}`."""
        with domain_errors(name):
            return (await self._stub.GetStudy(storage_service_pb2.GetStudyRequest(name=name))).study

    async def get_series(self, name: str) -> storage_pb2.Series:
        """The series `studies/{uid}/series/{uid}`."""
        with domain_errors(name):
            return (await self._stub.GetSeries(storage_service_pb2.GetSeriesRequest(name=name))).series

    async def get_instance(self, name: str) -> storage_pb2.Instance:
        """The instance `studies/{uid}/series/{uid}/instances/{uid}`."""
        with domain_errors(name):
            return (await self._stub.GetInstance(storage_service_pb2.GetInstanceRequest(name=name))).instance

    async def search_studies(self, *, limit: int | None = None, **keys: str) -> AsyncIterator[storage_pb2.Study]:
        """Studies that match all keys (DICOM keyword = value, PS3.4 C.2.2.2), newest study date first.

        Of the pages that hold them no more are asked for than `limit` of them need; None: all.
        """
        size = _page_size(limit)

        async def page(token: str) -> tuple[Sequence[storage_pb2.Study], str]:
            request = storage_service_pb2.SearchStudiesRequest(keys=_match(keys), page_size=size, page_token=token)
            response = await self._stub.SearchStudies(request)
            return response.studies, response.next_page_token

        async for study in _pages(page, limit):
            yield study

    async def search_series(
        self, parent: str = "", *, limit: int | None = None, **keys: str
    ) -> AsyncIterator[storage_pb2.Series]:
        """Series of a study (or of all) that match all keys, in the order of series number; `limit` as for studies."""
        size = _page_size(limit)

        async def page(token: str) -> tuple[Sequence[storage_pb2.Series], str]:
            request = storage_service_pb2.SearchSeriesRequest(
                parent=parent, keys=_match(keys), page_size=size, page_token=token
            )
            response = await self._stub.SearchSeries(request)
            return response.series, response.next_page_token

        async for series in _pages(page, limit):
            yield series

    async def search_instances(self, parent: str = "", **keys: str) -> AsyncIterator[storage_pb2.Instance]:
        """Instances of a study or series (or of all) that match all keys, in the order of instance number."""

        async def page(token: str) -> tuple[Sequence[storage_pb2.Instance], str]:
            request = storage_service_pb2.SearchInstancesRequest(
                parent=parent, keys=_match(keys), page_size=_LARGEST_PAGE, page_token=token
            )
            response = await self._stub.SearchInstances(request)
            return response.instances, response.next_page_token

        async for instance in _pages(page):
            yield instance

    async def store(
        self,
        uploads: Iterable[Upload] | AsyncIterable[Upload],
        *,
        origin: storage_pb2.Origin | None = None,
        source: str = "",
        on_sent: Callable[[str, int], None] | None = None,
    ) -> AsyncGenerator[StoreResult]:
        """Store instances, many in flight; one result each, in the order in which they are durable.

        A rejected one is a result with its error, and the rest goes on. Uploads over 8 MiB are resumed.

        Parameters
        ----------
        on_sent
            Called with the id of an upload that goes in chunks and how many of its bytes are sent. After a break it
            goes on from what storage has kept, which may be less than was sent before.

        Raises
        ------
        ImagingError
            If storage stays away for longer than the patience.
        """
        stream = UploadStream(
            self._stub, uploads, origin=origin, source=source, patience=self._patience, on_sent=on_sent
        )
        results = stream.results()
        try:
            async for result in results:
                yield result
        finally:
            await results.aclose()

    async def complete_study(
        self, name: str, expected_sop_instance_uids: Iterable[str] = (), expected_instance_count: int = 0
    ) -> storage_pb2.Manifest:
        """Say that the study was sent whole; its manifest comes back.

        Raises
        ------
        FailedPrecondition
            If expected instances are missing, or uploads are open.
        """
        request = storage_service_pb2.CompleteStudyRequest(
            name=name,
            expected_sop_instance_uids=expected_sop_instance_uids,
            expected_instance_count=expected_instance_count,
        )
        with domain_errors(name):
            return (await self._stub.CompleteStudy(request)).manifest

    async def read_headers(self, name: str, sop_instance_uids: Sequence[str] = ()) -> list[InstanceHeader]:
        """The headers of a study, series or instance, without pixel data, in the order of instance number."""
        return await read_headers(self._stub, name, sop_instance_uids, self._patience)

    async def retrieve_metadata(
        self, name: str, sop_instance_uids: Sequence[str] = (), *, if_none_match: str = ""
    ) -> Metadata:
        """The DICOM JSON model (PS3.18 F) of all instances of a study, series or instance, in one compressed answer.

        Parameters
        ----------
        if_none_match
            The etag of an earlier answer: if nothing has changed since, `not_modified` is set and nothing else comes.
        """
        return await retrieve_metadata(self._stub, name, sop_instance_uids, if_none_match, self._patience)

    async def read_frames(
        self,
        *,
        series: str = "",
        selections: Sequence[Selection] = (),
        order: FrameOrder.ValueType = storage_service_pb2.RetrieveFramesRequest.ORDER_AS_ASKED,
        with_instance_headers: bool = False,
        resolution_level: int = 0,
    ) -> AsyncGenerator[Frame]:
        """Decoded frames of a whole series, or of the instances and frame numbers in `selections`.

        Parameters
        ----------
        with_instance_headers
            The first frame of each instance brings the header of the instance with it.
        resolution_level
            Not 0: frames halved so many times, for which only so many bytes are sent (`refine_frames` gets the rest).
            Frames that have fewer levels come at their smallest; those that have none (videos, single bits, 32-bit
            and float samples) whole.

        Raises
        ------
        PixelDataInvalid
            At the first frame that cannot be decoded.
        """
        from imaging.client.frame import DECODABLE  # numpy and the codecs come with the first pixels
        from imaging.client.frame_stream import read_frames
        from imaging.client.progressive_frames import PROGRESSIVE

        request = storage_service_pb2.RetrieveFramesRequest(
            series=series,
            selections=selections,
            order=order,
            with_instance_headers=with_instance_headers,
            accept_transfer_syntax_uids=PROGRESSIVE if resolution_level else DECODABLE,
            resolution_level=resolution_level,
        )
        frames = read_frames(self._stub, request, self._decode_pool(), self._patience)
        try:
            async for frame in frames:
                yield frame
        finally:
            await frames.aclose()

    async def refine_frames(self, frames: Iterable[Frame], *, resolution_level: int = 0) -> AsyncGenerator[Frame]:
        """The same frames at a finer level; only the bytes that they lack are sent.

        Raises
        ------
        ChecksumMismatch
            If a frame has changed since its first bytes were read.
        """
        from imaging.client.progressive_frames import refined_frames

        finer = refined_frames(self._stub, frames, resolution_level, self._decode_pool(), self._patience)
        try:
            async for frame in finer:
                yield frame
        finally:
            await finer.aclose()

    async def read_volume(
        self, series: str, sop_instance_uids: Sequence[str] = (), *, progress: Progress | None = None
    ) -> tuple[Volume, list[pydicom.Dataset]]:
        """A series, or the named instances of it, as a volume with the headers in slice order.

        A multi-frame instance is named once among the headers.

        Raises
        ------
        VolumeRefused
            If the frames do not make a volume: the reason tells why.
        """
        from imaging.client.volume_reading import volume_of  # scipy and pydicom are slow to import

        headers = await self.read_headers(series, sop_instance_uids)
        selections = [Selection(instance=item.instance.name) for item in headers]
        return await volume_of(headers, self.read_frames(selections=selections), progress)

    async def retrieve_instances(
        self, name: str, *, accept_transfer_syntax_uids: Sequence[str] = ()
    ) -> AsyncGenerator[tuple[storage_pb2.Instance, bytes]]:
        """Each instance of a study, series or instance with its bytes as they are kept, checksum verified."""
        objects = retrieve_objects(self._stub, name, self._patience, accept_transfer_syntax_uids)
        try:
            async for instance, content in objects:
                yield instance, content
        finally:
            await objects.aclose()

    def render_frames(
        self, request: storage_service_pb2.RenderFramesRequest
    ) -> AsyncGenerator[storage_service_pb2.RenderFramesResponse]:
        """The messages of the pictures of frames; leaving early ends the call."""
        return messages_of(self._stub.RenderFrames(request), "storage")

    async def watch_changes(
        self, start_revision: int, kinds: Sequence[storage_pb2.Change.Kind.ValueType] = ()
    ) -> AsyncGenerator[storage_service_pb2.WatchChangesResponse]:
        """The change log from a revision on, without end; a lost connection is taken up again at the next revision.

        Raises
        ------
        RevisionTooOld
            If the log no longer holds `start_revision`.
        """
        changes = watch_changes(self._stub, start_revision, kinds, self._patience)
        try:
            async for message in changes:
                yield message
        finally:
            await changes.aclose()

    def _decode_pool(self) -> DecodePool:
        if self._pool is None:
            from imaging.codecs.sandbox import DecodePool

            self._pool = DecodePool()
        return self._pool


def _match(keys: dict[str, str]) -> list[storage_service_pb2.MatchKey]:
    return [storage_service_pb2.MatchKey(keyword=keyword, value=value) for keyword, value in keys.items()]


def _page_size(limit: int | None) -> int:
    return _LARGEST_PAGE if limit is None else max(1, min(limit, _LARGEST_PAGE))


async def _pages(
    page: Callable[[str], Awaitable[tuple[Sequence[Any], str]]], limit: int | None = None
) -> AsyncGenerator[Any]:
    token, left = "", limit
    while left is None or left > 0:
        with domain_errors():
            items, token = await page(token)
        for item in items[:left]:
            yield item
        left = None if left is None else left - len(items)
        if not token:
            return
