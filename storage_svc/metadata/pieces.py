"""What is kept of instances, out of segments or made anew from the headers of their objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.json_model import JsonModels
from imaging.dicom.tag_path import tag_text
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import InvalidDicom, Unavailable
from imaging.objectstore import ObjectStore
from storage_svc.keeping.verified_object import damaged, read_range, read_whole
from storage_svc.metadata.segment import (
    KEPT_HEADER_BYTES,
    SEGMENT_BYTES,
    SEGMENT_INSTANCES,
    Parts,
    Piece,
    Segment,
    content_name,
    unpacked,
)
from storage_svc.metadata.segment_rows import Listing, Live
from storage_svc.metadata.series_plan import Place
from storage_svc.retrieve.short_header import shortened

MODEL_HEADER_BYTES: Final = 16 * 1024 * 1024
"""Of encoded elements in one model: the largest elements of a longer header are left out, and named."""

_JSON_TO_HEADER = 3
"""How much longer the JSON of a header is, about."""

Row = Mapping[str, Any]
Wanted = tuple[Live, Place | None]


def grouped(
    wanted: Sequence[Wanted], listings: Mapping[str, Listing], rows: Mapping[str, Row]
) -> Iterator[list[Wanted]]:
    """The instances in groups that are few and small enough for one segment, and for memory."""
    group: list[Wanted] = []
    size = 0
    for live, place in wanted:
        if place is not None:
            more = listings[place.segment_id].entries[place.position].model_bytes
        else:
            more = _JSON_TO_HEADER * header_size(rows[live.sop_instance_uid])
        if group and (len(group) == SEGMENT_INSTANCES or size + more > SEGMENT_BYTES):
            yield group
            group, size = [], 0
        group.append((live, place))
        size += more
    if group:
        yield group


def pieces_of(
    wanted: Sequence[Wanted],
    segments: Mapping[str, Segment],
    rows: Mapping[str, Row],
    store: ObjectStore,
    models: JsonModels,
    parts: Parts,
) -> list[Piece]:
    """The pieces of these instances, in order, with the parts that are wanted; blocks.

    Parameters
    ----------
    segments
        Those that the places name; one after the other is unpacked.
    rows
        By SOP Instance UID, with the layout of the object: of all instances that have no place.

    Raises
    ------
    DataLoss
        If stored bytes are gone or damaged.
    Unavailable
        If an instance was changed meanwhile.
    """
    found: list[Piece | None] = [None] * len(wanted)
    kept: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, (live, place) in enumerate(wanted):
        if place is None:
            found[index] = made(rows[live.sop_instance_uid], live, store, models, parts)
        else:
            kept[place.segment_id].append((index, place.position))
    for segment_id, picks in kept.items():
        pieces = list(unpacked(segments[segment_id], parts))
        for index, position in picks:
            found[index] = pieces[position]
    return [piece for piece in found if piece is not None]


def made(row: Row, live: Live, store: ObjectStore, models: JsonModels, parts: Parts) -> Piece:
    """The piece of one instance, from its object."""
    if content_name(row["data_set_sha256"]) != live.content:
        raise changed_meanwhile(live)
    header, syntax = header_of(store, row)
    if Parts.MODEL not in parts:
        return Piece(live.sop_instance_uid, live.content, b"", header, syntax, ())
    content, left_out = shortened(header, syntax, MODEL_HEADER_BYTES)
    try:
        model = models.model(content, syntax, left_out)
    except InvalidDicom as error:
        raise damaged(row) from error
    return Piece(
        live.sop_instance_uid,
        live.content,
        model.content,
        header if len(header) <= KEPT_HEADER_BYTES else None,
        syntax,
        (*header_shortened(left_out), *model.flaws),
    )


def header_shortened(tags: Sequence[int]) -> tuple[str, ...]:
    """The warnings about elements that were left out of a header for their size."""
    return tuple(f"HEADER_SHORTENED {tag_text(tag)}" for tag in tags)


def changed_meanwhile(live: Live) -> Unavailable:
    """The error for an instance that is another one than when the answer began."""
    return Unavailable(
        "An instance was changed while the metadata were read",
        where=live.sop_instance_uid,
        hint="Ask again: what was given so far belongs to the state before.",
    )


def header_size(row: Row) -> int:
    """Bytes that reading the header takes."""
    return int(row["header_end"]) + (int(row["size_bytes"]) if row["inflated"] else 0)


def header_of(store: ObjectStore, row: Row) -> tuple[bytes, str]:
    """The header's bytes and their transfer syntax; a deflated one comes inflated."""
    if row["inflated"]:
        inflated = inflate_data_set(read_whole(store, row), row["data_set_offset"], max_bytes=row["header_end"])
        return inflated, EXPLICIT_VR_LITTLE_ENDIAN
    start = row["data_set_offset"]
    return read_range(store, row, start, row["header_end"] - start), row["transfer_syntax_uid"]
