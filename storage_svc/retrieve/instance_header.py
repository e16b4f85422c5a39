"""The header of an instance as a message of RetrieveFrames: all that a picture needs comes in one call."""

from __future__ import annotations

from typing import Final

from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.metadata.pieces import Row, header_shortened
from storage_svc.retrieve.short_header import shortened

_MOST_BYTES: Final = 4 * 1024 * 1024 - 64 * 1024


def header_message(row: Row, header: bytes, transfer_syntax_uid: str) -> bytes:
    """A message with the header of an instance, serialized.

    Parameters
    ----------
    header
        The data set up to the pixel data, in this transfer syntax; what is too large for a message is left out.
    """
    content, left_out = shortened(header, transfer_syntax_uid, _MOST_BYTES)
    instance = resources.instance(row)
    instance.warnings.extend(header_shortened(left_out))
    told = pb.RetrieveFramesResponse.InstanceHeader(
        instance=instance, content=content, transfer_syntax_uid=transfer_syntax_uid
    )
    return pb.RetrieveFramesResponse(instance_header=told).SerializeToString()
