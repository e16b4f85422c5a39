"""WADO-RS rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4): storage makes them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from importlib import metadata
from typing import TYPE_CHECKING, Final

from gateway_svc.dicomweb.answer_cache import AnswerCache
from gateway_svc.dicomweb.multipart import content_type, end, new_boundary, part_start
from gateway_svc.dicomweb.picture_form import PictureForm, picture_form
from gateway_svc.dicomweb.pictured_frames import PicturedFrame, first_frame, middle_frame, pages_with_pixels
from gateway_svc.dicomweb.representation import accept_of
from gateway_svc.dicomweb.retrieve_frames import CACHED
from gateway_svc.dicomweb.target import ROOT, Target
from gateway_svc.http.byte_range import is_unchanged
from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.refusals import NotAcceptable
from imaging.errors import NotFound
from imaging.rpc.call_messages import ended, messages_of
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

THUMBNAIL_PIXELS: Final = 256
"""Of its longer side, where the query has no viewport."""

_THUMBNAIL_BYTES: Final = 256 * 1024
_CACHE_BYTES: Final = 16 * 1024 * 1024

_SELECTIONS: Final = 100
"""Instances whose pictures are asked for at once."""

_SECONDS: Final = 120.0
"""Which one picture may take."""

Selection = pb.RenderFramesRequest.Selection
Message = pb.RenderFramesResponse


class RenderedResources:
    """Answers `rendered` and `thumbnail` of studies, series, instances and frames."""

    def __init__(self, storage: StorageStub) -> None:
        self._storage = storage
        self._thumbnails = AnswerCache(_CACHE_BYTES, _THUMBNAIL_BYTES)
        # Another release may render in another way.
        self._renderer = metadata.version("imaging-pipeline")

    async def send_rendered(self, exchange: Exchange, storage: StorageStub, target: Target) -> None:
        """Answer with the pictures of a target.

        One alone is the whole body, as is the first of several for a client that takes no parts. Several come in parts.
        """
        form = picture_form(*_asked(exchange))
        several = target.level < 3 or len(target.frame_numbers) > 1
        if form.in_parts or (form.in_parts is None and several):
            await self._send_parts(exchange, storage, target, form)
            return
        if len(target.frame_numbers) > 1:
            raise NotAcceptable(
                "Several frames are one picture each",
                where="Accept",
                hint=f'Accept multipart/related; type="{form.media_type}", or ask for one frame.',
            )
        if target.level == 3 and not exchange.header(b"if-none-match"):
            # What the answer is made of comes with it.
            await self._send_new(exchange, target.name, (target.frame_numbers or (1,))[0], form)
            return
        await self.send_one(exchange, await first_frame(storage, target), form)

    async def send_thumbnail(self, exchange: Exchange, storage: StorageStub, target: Target) -> None:
        """Answer with a small picture that stands for a target."""
        form = picture_form(*_asked(exchange), longest_side=THUMBNAIL_PIXELS)
        if len(target.frame_numbers) > 1:
            raise NotFound("A list of frames has no thumbnail", where="frames in the path", hint="Name one frame.")
        await self.send_one(exchange, await middle_frame(storage, target), form, self._thumbnails)

    async def send_one(
        self, exchange: Exchange, frame: PicturedFrame, form: PictureForm, cache: AnswerCache | None = None
    ) -> None:
        """Answer with the picture of one frame as the whole body."""
        etag = self._etag(frame.instance.data_set_sha256, frame.frame_number, form)
        headers = [*_headers(form), (b"etag", etag.encode("ascii"))]
        if is_unchanged(exchange, etag):
            await exchange.send(304, headers)
            return
        kept = cache.get((etag,)) if cache else None
        if kept is not None:
            headers.append((b"content-type", form.media_type.encode("ascii")))
            await exchange.send(200, headers, kept)
            return
        await self._send_new(exchange, frame.instance.name, frame.frame_number, form, cache)

    async def _send_new(
        self, exchange: Exchange, instance: str, frame_number: int, form: PictureForm, cache: AnswerCache | None = None
    ) -> None:
        request = form.of(Selection(instance=instance, frame_numbers=[frame_number]))
        async with aclosing(messages_of(self._storage.RenderFrames(request, timeout=_SECONDS), "storage")) as messages:
            first = await anext(messages)
            etag = self._etag(first.data_set_sha256, frame_number, form)
            headers = [*_headers(form), (b"etag", etag.encode("ascii"))]
            headers.append((b"content-type", form.media_type.encode("ascii")))
            if len(first.content) == first.size_bytes:
                if cache:
                    cache.put((etag,), first.content)
                await exchange.send(200, headers, first.content)
                await ended(messages)
                return

            async def content() -> AsyncIterator[bytes]:
                yield first.content
                async for message in messages:
                    yield message.content

            headers.append((b"content-length", b"%d" % first.size_bytes))
            await exchange.send_stream(200, headers, content())

    def _etag(self, data_set_sha256: str, frame_number: int, form: PictureForm) -> str:
        identity = (data_set_sha256, str(frame_number), form.identity, self._renderer)
        digest = hashlib.blake2s("\0".join(identity).encode("ascii"), digest_size=16).hexdigest()
        return f'"{digest}"'

    async def _send_parts(self, exchange: Exchange, storage: StorageStub, target: Target, form: PictureForm) -> None:
        async with aclosing(self._pictures(storage, target, form)) as pictures:
            first = await anext(pictures, None)
            if first is None:
                raise NotFound("There are no images below that name", where=target.name, hint="Retrieve its metadata.")
            boundary, root = new_boundary(), exchange.base_url + ROOT

            async def parts() -> AsyncIterator[bytes]:
                yield _start(first, boundary, root, is_first=True) + first.content
                async for message in pictures:
                    yield _start(message, boundary, root) + message.content if message.instance else message.content
                yield end(boundary)

            headers = [*_headers(form), (b"content-type", content_type(boundary, form.media_type))]
            await exchange.send_stream(200, headers, parts())

    async def _pictures(self, storage: StorageStub, target: Target, form: PictureForm) -> AsyncGenerator[Message]:
        """The messages of all pictures."""
        async with aclosing(_selections(storage, target)) as batches:
            async for batch in batches:
                async with aclosing(messages_of(self._storage.RenderFrames(form.of(*batch)), "storage")) as messages:
                    async for message in messages:
                        yield message


async def _selections(storage: StorageStub, target: Target) -> AsyncGenerator[list[Selection]]:
    if target.level == 3:
        yield [Selection(instance=target.name, frame_numbers=target.frame_numbers)]
        return
    async with aclosing(pages_with_pixels(storage, target.name)) as pages:
        async for page in pages:
            for start in range(0, len(page), _SELECTIONS):
                yield [Selection(instance=instance.name) for instance in page[start : start + _SELECTIONS]]


def _asked(exchange: Exchange) -> tuple[str, list[tuple[str, str]]]:
    query = exchange.query
    return accept_of(exchange.header(b"accept"), query), query


def _headers(form: PictureForm) -> list[Header]:
    headers: list[Header] = [CACHED, (b"vary", b"Accept")]
    if form.ignored:
        # As PS3.18 8.1.2.2 has it for what a server does not support.
        told = f'299 imaging "These parameters were ignored: {", ".join(form.ignored)}"'
        headers.append((b"warning", told.encode("ascii")))
    return headers


def _start(message: Message, boundary: str, root: str, *, is_first: bool = False) -> bytes:
    return part_start(
        boundary,
        message.media_type,
        first=is_first,
        size_bytes=message.size_bytes,
        location=f"{root}/{message.instance}/frames/{message.frame_number}/rendered",
    )
