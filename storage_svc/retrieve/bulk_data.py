"""One bulk value as a stream: encapsulated documents, waveforms, look-up tables, private blobs."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, nullcontext
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from imaging.database import Database
from imaging.dicom.transfer_syntax import transfer_syntax
from imaging.errors import InvalidArgument, LimitExceeded, NotFound
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.index.object_rows import instances_by_uid
from storage_svc.metadata.pieces import header_of, header_size
from storage_svc.names import Name

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_HEADER_BYTES = 256 * 1024 * 1024
"""All of the header is read to find one value in it."""

_LARGE_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[1-9][0-9]{0,5}/[0-9A-Fa-f]{8}){0,64}\Z")
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_one_large = threading.Lock()
"""One large header is in memory at a time."""

Response = pb.RetrieveBulkDataResponse


async def retrieve_bulk_data(
    database: Database, store: ObjectStore, executor: Executor, name: Name, path: str
) -> AsyncGenerator[Response]:
    """The messages of the value at a path like `54000100/1/54001010`.

    Raises
    ------
    NotFound
        If there is no such instance, or no value with bytes there.
    InvalidArgument
        If the path is malformed.
    LimitExceeded
        If the header is too large to be searched.
    """
    if not _PATH.match(path):
        raise InvalidArgument(
            "The path of the bulk value is malformed",
            where="path",
            hint="Give tag, or tag/item/tag: 8 hex digits each.",
        )
    (row,) = await instances_by_uid(database, [name.sop_instance_uid])
    if (row["study_instance_uid"], row["series_instance_uid"]) != (name.study_instance_uid, name.series_instance_uid):
        raise name.not_found()
    size = header_size(row)
    if size > MAX_HEADER_BYTES:
        raise LimitExceeded(
            f"The header has {size} bytes, too many to look for one value",
            where=str(name),
            hint="Retrieve the instance.",
        )

    loop = asyncio.get_running_loop()
    with ExitStack() as closing:
        spool = closing.enter_context(SpooledTemporaryFile(max_size=_LARGE_BYTES))
        yield Response(header=await loop.run_in_executor(executor, _find, store, row, name, path, spool))
        while content := await loop.run_in_executor(executor, spool.read, _CHUNK_BYTES):
            yield Response(content=content)


def _find(store: ObjectStore, row: Mapping[str, Any], name: Name, path: str, spool: IO[bytes]) -> Response.Header:
    """Put the value into `spool`, so that a slow reader holds no large header in memory."""
    from imaging.dicom.header import read_header  # by pydicom, which is large, and seldom needed

    with _one_large if header_size(row) > _LARGE_BYTES else nullcontext():
        header, syntax = header_of(store, row)
        found = _at(read_header(header, syntax), path)
        if found is None:
            raise NotFound(
                "The instance has no bulk value there", where=f"{name} {path}", hint="Its metadata names those it has."
            )
        vr, content, media_type = found
        if not transfer_syntax(syntax).little_endian and vr in _WORD_BYTES:
            content = _swapped(content, _WORD_BYTES[vr])
        spool.write(content)
        spool.seek(0)
        return Response.Header(size_bytes=len(content), vr=vr, media_type=media_type)


def _swapped(content: bytes, word_bytes: int) -> bytes:
    whole = len(content) // word_bytes * word_bytes
    return np.frombuffer(content[:whole], f">u{word_bytes}").astype(f"<u{word_bytes}").tobytes() + content[whole:]


def _at(data_set: Dataset, path: str) -> tuple[str, bytes, str] | None:
    """VR, bytes and media type of the value at a path; None if no bytes are there."""
    *above, tag = path.split("/")
    for sequence, number in zip(above[::2], above[1::2], strict=True):
        element = data_set.get(int(sequence, 16))
        if element is None or element.VR != "SQ" or int(number) > len(element.value):
            return None
        data_set = element.value[int(number) - 1]
    element = data_set.get(int(tag, 16))
    if element is None or not isinstance(element.value, bytes):
        return None
    media_type = str(data_set.get("MIMETypeOfEncapsulatedDocument", "")) if int(tag, 16) == 0x00420011 else ""
    return element.VR, element.value, media_type
