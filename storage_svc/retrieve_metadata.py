"""Headers as a stream: the encoded data set up to its pixel data, or the DICOM JSON model."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from pydicom import Dataset

from imaging.database import Database
from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.header import read_header
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import NotFound
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.names import Name
from storage_svc.object_rows import instances_below, with_layout
from storage_svc.read_ahead import read_ahead
from storage_svc.short_header import shortened
from storage_svc.verified_object import read_range, read_whole

_BATCH = 64
_MAX_BYTES = 4 * 1024 * 1024 - 64 * 1024
_MAX_JSON_BYTES = 768 * 1024
"""Of encoded elements: their JSON model, with the bulk left out, takes up to about four times as much."""

_BULK_BYTES = 1024
"""Binary values over this size are left out of the JSON model."""
_BULK_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))

Row = Mapping[str, Any]
Response = pb.RetrieveMetadataResponse


async def retrieve_metadata(
    database: Database,
    store: ObjectStore,
    executor: Executor,
    name: Name,
    *,
    as_json: bool,
    sop_instance_uids: Sequence[str],
) -> AsyncGenerator[Response]:
    """One message an instance, by series and instance number; a header over the limit is shortened and says so.

    Raises
    ------
    NotFound
        If nothing of that name, or one of the named instances, is not there.
    DataLoss
        If stored bytes are gone.
    """
    wanted = set(sop_instance_uids)

    async def rows() -> AsyncGenerator[Row]:
        batch: list[Row] = []
        async for row in instances_below(database, name):
            if sop_instance_uids:
                if row["sop_instance_uid"] not in wanted:
                    continue
                wanted.discard(row["sop_instance_uid"])
            batch.append(row)
            if len(batch) == _BATCH:
                for full in await with_layout(database, batch):
                    yield full
                batch = []
        for full in await with_layout(database, batch):
            yield full
        if wanted:
            raise NotFound(
                f"{len(wanted)} of the instances are not there",
                where=str(name),
                hint="Ask only for instances of that name.",
                metadata={"sop_instance_uid": min(wanted)},
            )

    def fetch(row: Row) -> Response:
        header, syntax = header_of(store, row)
        content, left_out = shortened(header, syntax, _MAX_JSON_BYTES if as_json else _MAX_BYTES)
        instance = resources.instance(row)
        instance.warnings.extend(f"HEADER_SHORTENED {tag}" for tag in left_out)
        if as_json:
            return Response(instance=instance, content=dicom_json(read_header(content, syntax)))
        return Response(instance=instance, content=content, transfer_syntax_uid=syntax)

    async for response in read_ahead(rows(), fetch, executor=executor, size_bytes=header_size, ahead=8):
        yield response


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


def dicom_json(data_set: Dataset) -> bytes:
    """The DICOM JSON model (PS3.18 F) without bulk data; a value that cannot be expressed is left out."""
    model = data_set.to_json_dict(
        suppress_invalid_tags=True, bulk_data_threshold=_BULK_BYTES, bulk_data_element_handler=_left_out
    )
    return json.dumps(_without_bulk(model), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _left_out(element: object) -> str:
    return ""


def _without_bulk(model: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for tag, element in model.items():
        if "BulkDataURI" in element:
            kept[tag] = {"vr": element["vr"]}
        elif element.get("vr") == "SQ":
            kept[tag] = {**element, "Value": [_without_bulk(item) for item in element.get("Value", [])]}
        else:
            kept[tag] = element
    return kept
