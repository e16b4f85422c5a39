"""A segment: the JSON models and headers of some instances of a series, compressed together."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from enum import Flag, auto
from typing import Final, NamedTuple

from storage_svc.metadata.gzip_stream import Deflated, deflated, inflated

SEGMENT_INSTANCES: Final = 128
"""Instances in one segment. They share nearly all of their elements, so more of them take hardly more room."""

SEGMENT_BYTES: Final = 1024 * 1024
"""Of JSON in one segment, unless a single instance has more."""

KEPT_HEADER_BYTES: Final = 64 * 1024
"""Longer headers hold tables of a maker, which hardly compress: they are read from their object."""


class Piece(NamedTuple):
    """What a segment keeps of one instance."""

    sop_instance_uid: str
    content: str
    """Names the data set: the start of its SHA-256."""
    model: bytes
    """The JSON object; empty where only the header was wanted."""
    header: bytes | None
    """None if it is not kept, or was not wanted."""
    transfer_syntax_uid: str
    """Of the header."""
    flaws: tuple[str, ...]


class Parts(Flag):
    """What is wanted of pieces."""

    MODEL = auto()
    HEADER = auto()


class Entry(NamedTuple):
    """A piece as the list of its segment has it."""

    sop_instance_uid: str
    content: str
    model_bytes: int
    header_bytes: int
    """-1 if it is not kept."""
    transfer_syntax_uid: str
    flaws: tuple[str, ...]


class Segment(NamedTuple):
    """Pieces as they are stored."""

    entries: tuple[Entry, ...]
    models: Deflated
    """The JSON objects with commas between them."""
    headers: bytes
    """One header after the other, compressed by zlib."""

    @property
    def size_bytes(self) -> int:
        """Compressed."""
        return len(self.models.content) + len(self.headers)


def content_name(data_set_sha256: str) -> str:
    """The name of a data set that entries carry."""
    return data_set_sha256[:32]


def packed(pieces: Sequence[Piece]) -> Segment:
    """The segment of these pieces."""
    entries = tuple(
        Entry(
            piece.sop_instance_uid,
            piece.content,
            len(piece.model),
            -1 if piece.header is None else len(piece.header),
            piece.transfer_syntax_uid,
            piece.flaws,
        )
        for piece in pieces
    )
    models = deflated(b",".join(piece.model for piece in pieces))
    return Segment(entries, models, zlib.compress(b"".join(piece.header or b"" for piece in pieces)))


def unpacked(segment: Segment, parts: Parts) -> Iterator[Piece]:
    """The pieces of a segment, with the parts that are wanted."""
    models = inflated(segment.models) if Parts.MODEL in parts else b""
    headers = zlib.decompress(segment.headers) if Parts.HEADER in parts else b""
    at = header_at = 0
    for entry in segment.entries:
        model = models[at : at + entry.model_bytes]
        at += entry.model_bytes + 1  # and the comma
        header = None
        if entry.header_bytes >= 0 and Parts.HEADER in parts:
            header = headers[header_at : header_at + entry.header_bytes]
            header_at += entry.header_bytes
        yield Piece(entry.sop_instance_uid, entry.content, model, header, entry.transfer_syntax_uid, entry.flaws)


def entries_to_bytes(entries: Iterable[Entry]) -> bytes:
    """The list of a segment as it is stored: a line an instance, compressed."""
    lines = (
        "\t".join((uid, content, str(model_bytes), str(header_bytes), syntax, *flaws))
        for uid, content, model_bytes, header_bytes, syntax, flaws in entries
    )
    return zlib.compress("\n".join(lines).encode("ascii"))


def entries_from_bytes(stored: bytes) -> tuple[Entry, ...]:
    """The list that `entries_to_bytes` was given."""
    entries = []
    for line in zlib.decompress(stored).decode("ascii").split("\n"):
        uid, content, model_bytes, header_bytes, syntax, *flaws = line.split("\t")
        entries.append(Entry(uid, content, int(model_bytes), int(header_bytes), syntax, tuple(flaws)))
    return tuple(entries)
