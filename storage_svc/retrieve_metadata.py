"""Headers as a stream: the encoded data set up to its pixel data, or the DICOM JSON model."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR

from imaging.database import Database
from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.header import read_header
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import NotFound
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.model_cache import JsonModel, ModelCache
from storage_svc.names import Name
from storage_svc.object_rows import instances_below, with_layout
from storage_svc.read_ahead import read_ahead
from storage_svc.short_header import shortened
from storage_svc.verified_object import read_range, read_whole, require_sound

_BATCH = 64
_FETCH = 16
_MAX_BYTES = 4 * 1024 * 1024 - 64 * 1024
_MAX_JSON_BYTES = 768 * 1024
"""Of encoded elements: their JSON model, with the bulk left out, takes up to about four times as much."""

_BULK_BYTES = 1024
"""Binary values over this size are told by a URI in the JSON model."""
_BULK_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))

BULK_DATA = "bulkdata"
"""First segment of each BulkDataURI."""

_TAG_SIGNS = str.maketrans("", "", "(,)")

Row = Mapping[str, Any]
Response = pb.RetrieveMetadataResponse
_Piece = tuple[Row, JsonModel | None]
"""An instance with its model, or else with where the parts of its object are."""


async def retrieve_metadata(
    database: Database,
    store: ObjectStore,
    executor: Executor,
    models: ModelCache,
    name: Name,
    *,
    as_json: bool,
    sop_instance_uids: Sequence[str],
) -> AsyncGenerator[bytes]:
    """One message an instance, serialized, by series and instance number.

    A header over the limit is shortened and says so. JSON models that were built before are not built again.

    Raises
    ------
    NotFound
        If nothing of that name, or one of the named instances, is not there.
    DataLoss
        If stored bytes are gone or damaged.
    """
    wanted = set(sop_instance_uids)

    async def batches() -> AsyncGenerator[list[_Piece]]:
        batch: list[Row] = []
        async for row in instances_below(database, name):
            if sop_instance_uids:
                if row["sop_instance_uid"] not in wanted:
                    continue
                wanted.discard(row["sop_instance_uid"])
            batch.append(row)
            if len(batch) == _BATCH:
                for pieces in _of_one_fetch(await known(batch)):
                    yield pieces
                batch = []
        for pieces in _of_one_fetch(await known(batch)):
            yield pieces
        if wanted:
            raise NotFound(
                f"{len(wanted)} of the instances are not there",
                where=str(name),
                hint="Ask only for instances of that name.",
                metadata={"sop_instance_uid": min(wanted)},
            )

    async def known(batch: Sequence[Row]) -> list[_Piece]:
        found = [models.get(row["object_key"]) if as_json else None for row in batch]
        unknown = [row for row, model in zip(batch, found, strict=True) if model is None]
        read = iter(await with_layout(database, unknown) if unknown else ())
        return [
            (row, model) if model is not None else (next(read), None) for row, model in zip(batch, found, strict=True)
        ]

    def fetch(pieces: Sequence[_Piece]) -> list[bytes]:
        return [message(row, model) for row, model in pieces]

    def message(row: Row, model: JsonModel | None) -> bytes:
        require_sound(row)
        if as_json:
            model = model or build(row)
            response = Response(instance=resources.instance(row), content=model.content)
            left_out = model.left_out
        else:
            header, syntax = header_of(store, row)
            content, tags = shortened(header, syntax, _MAX_BYTES)
            response = Response(instance=resources.instance(row), content=content, transfer_syntax_uid=syntax)
            left_out = tuple(tags)
        response.instance.warnings.extend(f"HEADER_SHORTENED {tag}" for tag in left_out)
        return response.SerializeToString()

    def build(row: Row) -> JsonModel:
        header, syntax = header_of(store, row)
        content, left_out = shortened(header, syntax, _MAX_JSON_BYTES)
        model = JsonModel(dicom_json(read_header(content, syntax), left_out), tuple(left_out))
        models.put(row["object_key"], model)
        return model

    async for messages in read_ahead(batches(), fetch, executor=executor, size_bytes=_fetched_bytes, ahead=8):
        for serialized in messages:
            yield serialized


def _of_one_fetch(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """The instances in groups that are few and small enough for one turn of a thread."""
    group: list[_Piece] = []
    for piece in pieces:
        if group and (len(group) == _FETCH or _fetched_bytes([*group, piece]) > _MAX_BYTES):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _fetched_bytes(pieces: Sequence[_Piece]) -> int:
    return sum(len(model.content) if model is not None else header_size(row) for row, model in pieces)


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


def dicom_json(data_set: Dataset, left_out: Sequence[str] = ()) -> bytes:
    """The DICOM JSON model (PS3.18 F); a value that cannot be expressed is left out.

    Bulk values, and those of `left_out` (tags like `(0042,0011)`), are told by a BulkDataURI relative to the instance.
    """
    model = data_set.to_json_dict(
        suppress_invalid_tags=True, bulk_data_threshold=_BULK_BYTES, bulk_data_element_handler=_left_out
    )
    told = _with_bulk_paths(model, BULK_DATA)
    for text in left_out:
        tag = text.translate(_TAG_SIGNS).upper()
        vr = dictionary_VR(int(tag, 16)) if dictionary_has_tag(int(tag, 16)) else "UN"
        if vr in _BULK_VRS:
            told[tag] = {"vr": vr, "BulkDataURI": f"{BULK_DATA}/{tag}"}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _left_out(element: object) -> str:
    return BULK_DATA


def _with_bulk_paths(model: Mapping[str, Any], above: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for tag, element in model.items():
        if "BulkDataURI" in element:
            told[tag] = {"vr": element["vr"], "BulkDataURI": f"{above}/{tag}"}
        elif element.get("vr") == "SQ":
            items = enumerate(element.get("Value", []), 1)
            told[tag] = {**element, "Value": [_with_bulk_paths(item, f"{above}/{tag}/{n}") for n, item in items]}
        else:
            told[tag] = element
    return told
