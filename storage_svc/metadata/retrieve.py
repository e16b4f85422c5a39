"""Headers as a stream: the encoded data set up to its pixel data, or the DICOM JSON model."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection

from imaging.database import Database
from imaging.dicom.json_model import JsonModels
from imaging.errors import NotFound
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.index.object_rows import instances_by_uid
from storage_svc.keeping.verified_object import require_sound
from storage_svc.metadata.gzip_stream import Deflated, GzipStream, deflated
from storage_svc.metadata.pieces import (
    Wanted,
    changed_meanwhile,
    grouped,
    header_of,
    header_shortened,
    header_size,
    pieces_of,
)
from storage_svc.metadata.segment import Parts, Piece, Segment, content_name
from storage_svc.metadata.segment_rows import (
    MODEL_VERSION,
    Listing,
    Live,
    SeriesKey,
    damaged_instances,
    list_segments,
    live_instances,
    live_series,
    load_segments,
)
from storage_svc.metadata.series_plan import Mixed, Part, Place, Whole, series_plan
from storage_svc.names import Name, instance_name, parse_name
from storage_svc.retrieve.read_ahead import read_ahead
from storage_svc.retrieve.short_header import shortened

Format = pb.RetrieveMetadataRequest
Response = pb.RetrieveMetadataResponse
Row = Mapping[str, Any]

MESSAGE_BYTES: Final = 4 * 1024 * 1024 - 64 * 1024
"""Of content in one message, at most."""

_MANY_BYTES = 2 * 1024 * 1024
"""A message of many instances is sent as soon as it has so much."""

_GZIP_BYTES = 256 * 1024
"""Likewise for the next part of the gzip stream."""

_MODEL_HEADER_BYTES = 768 * 1024
"""Of the header of a model that must fit into one message: JSON takes up to about four times as much."""

_LOADED_PARTS = 8
_MODELS_BYTES = 4 * 1024 * 1024
_FAST = 1
"""The level of compression of what is compressed while somebody waits."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Instances that are fetched together."""

    series: SeriesKey
    wanted: Sequence[Wanted]
    whole: Segment | None
    """Set if it is exactly these instances."""
    segments: Mapping[str, Segment]
    rows: Mapping[str, Row]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What a step gives: whole messages, or the next piece of a gzip stream."""

    messages: Sequence[bytes] = ()
    piece: Deflated | None = None
    warnings: Sequence[Response.InstanceWarnings] = ()


class MetadataReader:
    """Answers RetrieveMetadata.

    Parameters
    ----------
    hint
        Is told of a series whose segments do not fit what it has now.
    """

    def __init__(
        self, database: Database, store: ObjectStore, executor: Executor, hint: Callable[[SeriesKey], None]
    ) -> None:
        self._database = database
        self._store = store
        self._executor = executor
        self._hint = hint
        self._local = threading.local()

    async def retrieve(self, request: pb.RetrieveMetadataRequest) -> AsyncGenerator[bytes]:
        """The messages of an answer, serialized.

        Raises
        ------
        NotFound
            If nothing of that name, or one of the named instances, is not there.
        Unavailable
            If an instance was changed meanwhile.
        DataLoss
            If stored bytes are gone or damaged.
        """
        state = await self._state(parse_name(request.name), request.sop_instance_uids)
        etag = _etag(state, request.format)
        if request.if_none_match == etag:
            yield Response(etag=etag, not_modified=True).SerializeToString()
            return
        if request.format == Format.FORMAT_DICOM_JSON_GZIP:
            # Segments are given without a look at rows and objects: what is refused in other forms is refused here.
            await self._require_sound(state)
        # Messages that stand one after the other are one message with the fields of both.
        first = Response(etag=etag).SerializeToString()
        messages = (
            self._gzip(state, request)
            if request.format == Format.FORMAT_DICOM_JSON_GZIP
            else (self._plain(state, request))
        )
        try:
            async for message in messages:
                yield first + message if first else message
                first = b""
        finally:
            await messages.aclose()

    async def _plain(
        self, state: Mapping[SeriesKey, Sequence[Live]], request: pb.RetrieveMetadataRequest
    ) -> AsyncGenerator[bytes]:
        def fetch(step: _Step) -> _Fetched:
            return _Fetched(messages=list(_messages(self._headers(step, request.format), request.many_per_message)))

        async for fetched in self._fetched(state, request, fetch):
            for message in fetched.messages:
                yield message

    async def _gzip(
        self, state: Mapping[SeriesKey, Sequence[Live]], request: pb.RetrieveMetadataRequest
    ) -> AsyncGenerator[bytes]:
        stream = GzipStream()
        content, warnings, between = bytearray(stream.start()), list[Response.InstanceWarnings](), _OPENING
        async for fetched in self._fetched(state, request, self._compressed):
            if fetched.piece is not None:
                content += stream.add(between) + stream.add(fetched.piece)
                between = _COMMA
            warnings += fetched.warnings
            while len(content) >= _GZIP_BYTES:
                part = bytes(content[:MESSAGE_BYTES])
                del content[:MESSAGE_BYTES]
                yield Response(content=part, warnings=warnings).SerializeToString()
                warnings = []
        if between is _OPENING:
            content += stream.add(_OPENING)
        content += stream.add(_CLOSING) + stream.finish()
        yield Response(content=bytes(content), warnings=warnings).SerializeToString()

    async def _fetched(
        self,
        state: Mapping[SeriesKey, Sequence[Live]],
        request: pb.RetrieveMetadataRequest,
        fetch: Callable[[_Step], _Fetched],
    ) -> AsyncGenerator[_Fetched]:
        steps = self._steps(state, request)
        answers = read_ahead(steps, fetch, executor=self._executor, size_bytes=lambda step: step.size_bytes)
        try:
            async for fetched in answers:
                yield fetched
        finally:
            await answers.aclose()
            await steps.aclose()

    async def _state(self, name: Name, only: Sequence[str]) -> Mapping[SeriesKey, Sequence[Live]]:
        """The instances that are asked for, series by series, as they are now."""
        wanted = set(only)

        def read(connection: Connection) -> Mapping[SeriesKey, Sequence[Live]]:
            found = {
                series: live_instances(connection, series, name.sop_instance_uid)
                for series in live_series(connection, name)
            }
            if not any(found.values()):
                raise name.not_found()
            return found

        state = await self._database.read(read)
        if only:
            state = {series: [live for live in lives if live[0] in wanted] for series, lives in state.items()}
            missing = wanted.difference(live[0] for lives in state.values() for live in lives)
            if missing:
                raise NotFound(
                    f"{len(missing)} of the instances are not there",
                    where=str(name),
                    hint="Ask only for instances of that name.",
                    metadata={"sop_instance_uid": min(missing)},
                )
        return {series: lives for series, lives in state.items() if lives}

    async def _require_sound(self, state: Mapping[SeriesKey, Sequence[Live]]) -> None:
        wanted = {live.sop_instance_uid for lives in state.values() for live in lives}
        for row in await self._database.read(lambda connection: damaged_instances(connection, list(state))):
            if row["sop_instance_uid"] in wanted:
                require_sound(row)

    async def _steps(
        self, state: Mapping[SeriesKey, Sequence[Live]], request: pb.RetrieveMetadataRequest
    ) -> AsyncGenerator[_Step]:
        compressed = request.format == Format.FORMAT_DICOM_JSON_GZIP
        for series, lives in state.items():
            listings: Mapping[str, Listing] = {}
            if len(lives) > 1:  # one alone is made faster than the lists of a long series are looked through
                listings = await self._database.read(lambda connection, of=series: list_segments(connection, of))  # type: ignore[misc]
            parts = series_plan(lives, listings)
            if len(lives) > 1 and not request.sop_instance_uids and any(isinstance(part, Mixed) for part in parts):
                self._hint(series)
            for start in range(0, len(parts), _LOADED_PARTS):
                async for step in self._loaded(series, parts[start : start + _LOADED_PARTS], listings, not compressed):
                    yield step

    async def _loaded(
        self, series: SeriesKey, parts: Sequence[Part], listings: Mapping[str, Listing], all_rows: bool
    ) -> AsyncGenerator[_Step]:
        """The steps of some parts, with the rows and segments that they need."""
        ids = {part.segment_id for part in parts if isinstance(part, Whole)}
        ids |= {place.segment_id for part in parts if isinstance(part, Mixed) for _, place in part.instances if place}
        segments = await self._database.read(lambda connection: load_segments(connection, ids)) if ids else {}
        for part in parts:
            whole = segments.get(part.segment_id) if isinstance(part, Whole) else None
            wanted = [
                # A segment may have gone since it was listed.
                (live, place if place is not None and place.segment_id in segments else None)
                for live, place in _instances(part, listings)
            ]
            needed = [live.sop_instance_uid for live, place in wanted if all_rows or place is None]
            rows = {row["sop_instance_uid"]: row for row in await self._rows(needed)}
            if whole is not None and not all_rows:
                yield _Step(series, wanted, whole, segments, rows, whole.size_bytes)
                continue
            for group in grouped(wanted, listings, rows):
                yield _Step(series, group, None, segments, rows, _size(group, listings, rows))

    async def _rows(self, sop_instance_uids: Sequence[str]) -> Sequence[Row]:
        return await instances_by_uid(self._database, sop_instance_uids) if sop_instance_uids else ()

    def _models(self) -> JsonModels:
        """Those of this thread."""
        models: JsonModels | None = getattr(self._local, "models", None)
        if models is None:
            models = self._local.models = JsonModels(_MODELS_BYTES)
        return models

    def _pieces(self, step: _Step, parts: Parts) -> list[Piece]:
        return pieces_of(step.wanted, step.segments, step.rows, self._store, self._models(), parts)

    def _compressed(self, step: _Step) -> _Fetched:
        if step.whole is not None:
            flaws = [(entry.sop_instance_uid, entry.flaws) for entry in step.whole.entries if entry.flaws]
            piece = step.whole.models
        else:
            pieces = self._pieces(step, Parts.MODEL)
            flaws = [(found.sop_instance_uid, found.flaws) for found in pieces if found.flaws]
            piece = deflated(b",".join(found.model for found in pieces), _FAST)
        warnings = [
            Response.InstanceWarnings(instance=instance_name(*step.series, uid), warnings=found) for uid, found in flaws
        ]
        return _Fetched(piece=piece, warnings=warnings)

    def _headers(self, step: _Step, form: int) -> Iterator[Response.InstanceHeader]:
        parts = Parts.MODEL if form == Format.FORMAT_DICOM_JSON else Parts.HEADER
        for (live, _), piece in zip(step.wanted, self._pieces(step, parts), strict=True):
            row = step.rows[live.sop_instance_uid]
            if content_name(row["data_set_sha256"]) != live.content:
                raise changed_meanwhile(live)
            require_sound(row)
            header = Response.InstanceHeader(instance=resources.instance(row))
            if form == Format.FORMAT_DICOM_JSON:
                header.content, warnings = self._fitting_model(piece, row)
            else:
                content, header.transfer_syntax_uid = (
                    (piece.header, piece.transfer_syntax_uid)
                    if piece.header is not None
                    else header_of(self._store, row)
                )
                header.content, left_out = shortened(content, header.transfer_syntax_uid, MESSAGE_BYTES)
                warnings = header_shortened(left_out)
            header.instance.warnings.extend(warnings)
            yield header

    def _fitting_model(self, piece: Piece, row: Row) -> tuple[bytes, tuple[str, ...]]:
        """The model and its warnings; a shorter one if it is too large for a message."""
        if len(piece.model) <= MESSAGE_BYTES:
            return piece.model, piece.flaws
        header, syntax = header_of(self._store, row)
        content, left_out = shortened(header, syntax, _MODEL_HEADER_BYTES)
        model = self._models().model(content, syntax, left_out)
        return model.content, (*header_shortened(left_out), *model.flaws)


_OPENING, _COMMA, _CLOSING = deflated(b"["), deflated(b","), deflated(b"]")


def _instances(part: Part, listings: Mapping[str, Listing]) -> Sequence[Wanted]:
    if isinstance(part, Mixed):
        return part.instances
    return [
        (Live(entry.sop_instance_uid, entry.content), Place(part.segment_id, position))
        for position, entry in enumerate(listings[part.segment_id].entries)
    ]


def _size(group: Sequence[Wanted], listings: Mapping[str, Listing], rows: Mapping[str, Row]) -> int:
    """About what fetching a group takes in memory."""
    unpacked = {place.segment_id for _, place in group if place is not None}
    inside = sum(entry.model_bytes for segment_id in unpacked for entry in listings[segment_id].entries)
    return inside + sum(4 * header_size(rows[live.sop_instance_uid]) for live, place in group if place is None)


def _messages(headers: Iterator[Response.InstanceHeader], many: bool) -> Iterator[bytes]:
    if not many:
        for header in headers:
            # The fields of a response that carries one instance have the same numbers.
            yield header.SerializeToString()
        return
    message, size = Response(), 0
    for header in headers:
        more = len(header.content)
        if size and size + more > _MANY_BYTES:
            yield message.SerializeToString()
            message, size = Response(), 0
        message.instances.append(header)
        size += more
    if size:
        yield message.SerializeToString()


def _etag(state: Mapping[SeriesKey, Sequence[Live]], form: int) -> str:
    """Names the content of an answer: the data sets, their order and the form."""
    digest = sha256(f"{MODEL_VERSION} {form}".encode())
    for series, lives in state.items():
        digest.update(f"\n\n{series.series_instance_uid}".encode())
        digest.update("".join(f"\n{uid} {content}" for uid, content in lives).encode())
    return digest.hexdigest()[:32]
