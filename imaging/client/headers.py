"""Headers of instances as pydicom data sets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imaging.client.patience import Attempts, Patience
from imaging.errors import ImagingError
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2, storage_service_pb2

if TYPE_CHECKING:
    import pydicom

    from imaging.client.stub import StorageStub


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """An instance and its attributes."""

    instance: storage_pb2.Instance
    dataset: pydicom.Dataset
    """Everything but the pixel data, and what follows it."""

    content: bytes = b""
    """The same as bytes, in the encoding of `dataset.file_meta.TransferSyntaxUID`, a deflated one inflated."""


async def read_headers(
    stub: StorageStub,
    name: str,
    sop_instance_uids: Sequence[str],
    patience: Patience,
) -> list[InstanceHeader]:
    """The headers of a study, series or instance, in the order of storage (instance number).

    Raises
    ------
    NotFound
        If nothing of that name is stored.
    """
    request = storage_service_pb2.RetrieveMetadataRequest(
        name=name,
        format=storage_service_pb2.RetrieveMetadataRequest.FORMAT_HEADER_BYTES,
        sop_instance_uids=sop_instance_uids,
        many_per_message=True,
    )
    attempts = Attempts(patience)
    while True:
        try:
            with domain_errors():
                messages = [message async for message in stub.RetrieveMetadata(request)]
            return await asyncio.to_thread(_parse, messages)
        except ImagingError as error:
            await attempts.fail(error)


def _parse(messages: Sequence[storage_service_pb2.RetrieveMetadataResponse]) -> list[InstanceHeader]:
    from imaging.dicom.header import read_header  # pydicom is slow to import and not every client needs it

    return [
        InstanceHeader(found.instance, read_header(found.content, found.transfer_syntax_uid), found.content)
        for message in messages
        for found in message.instances or (message,)
    ]
