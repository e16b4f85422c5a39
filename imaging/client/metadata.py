"""The DICOM JSON model of a study, series or instance, as one compressed answer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imaging.client.patience import Attempts, Patience
from imaging.errors import ImagingError, Unavailable
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


@dataclass(frozen=True, slots=True)
class Metadata:
    """The models of all instances that were asked for (PS3.18 F), by series and instance number, without bulk data."""

    etag: str
    """Changes exactly when the content does."""

    compressed: bytes
    """A JSON array, UTF-8, as a gzip stream: what a DICOMweb server answers with `Content-Encoding: gzip`. Empty if
    nothing has changed since the etag that was given."""

    warnings: Mapping[str, Sequence[str]]
    """By name of the instance: HEADER_SHORTENED, VALUE_LEFT_OUT or VALUE_ODD, each with a tag path."""

    not_modified: bool = False

    def json(self) -> bytes:
        """The JSON array, UTF-8."""
        return gzip.decompress(self.compressed)

    def models(self) -> list[dict[str, Any]]:
        """The models as Python objects."""
        found: list[dict[str, Any]] = json.loads(self.json())
        return found


async def retrieve_metadata(
    stub: StorageStub, name: str, sop_instance_uids: Sequence[str], if_none_match: str, patience: Patience
) -> Metadata:
    """The metadata of a study, series or instance.

    Raises
    ------
    NotFound
        If nothing of that name is stored.
    DataLoss
        If stored bytes are gone or damaged.
    """
    request = storage_service_pb2.RetrieveMetadataRequest(
        name=name,
        format=storage_service_pb2.RetrieveMetadataRequest.FORMAT_DICOM_JSON_GZIP,
        sop_instance_uids=sop_instance_uids,
        if_none_match=if_none_match,
    )
    attempts = Attempts(patience)
    while True:
        try:
            with domain_errors(name):
                return await _read(stub, request)
        except ImagingError as error:
            await attempts.fail(error)


async def _read(stub: StorageStub, request: storage_service_pb2.RetrieveMetadataRequest) -> Metadata:
    etag, content, warnings, not_modified = "", bytearray(), dict[str, Sequence[str]](), False
    async for message in stub.RetrieveMetadata(request):
        etag = etag or message.etag
        not_modified |= message.not_modified
        content += message.content
        warnings.update((each.instance, tuple(each.warnings)) for each in message.warnings)
    if not etag:
        raise Unavailable("Storage ended the stream before the metadata", where=request.name)
    return Metadata(etag, bytes(content), warnings, not_modified)
