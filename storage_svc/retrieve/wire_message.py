"""Messages that carry many bytes, serialized without copying these more than once.

Building a protobuf message copies its bytes, and serializing it copies them again, both while the interpreter lock is
held; the messages of retrievals are nearly nothing but such bytes. So protobuf serializes their few small fields, and
the bytes are joined in where they belong (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from imaging.storage.v1 import storage_service_pb2 as pb

_DATA: Final = b"\x12"
"""Tag of the field `data` (2, length-delimited) of both responses."""

_CONTENT: Final = b"\x12"
"""Tag of the field `content` (2, length-delimited) of both data parts."""

Response = pb.RetrieveFramesResponse | pb.RetrieveInstancesResponse


def data_message(
    before: Response, offset: int, content: bytes | NDArray[np.uint8], crc32c: int, after: Response
) -> bytes:
    """One response of RetrieveFrames or RetrieveInstances with its `data`, as it goes over the wire.

    Parameters
    ----------
    before
        Has the header, or nothing.
    after
        Has the finish, or nothing.
    """
    # The data parts of both responses have the same fields.
    part = pb.RetrieveFramesResponse.Data
    start = part(offset=offset).SerializeToString() + _CONTENT + _varint(len(content))
    end = part(crc32c=crc32c).SerializeToString()
    raw = content if isinstance(content, bytes) else content.data
    size = _varint(len(start) + len(content) + len(end))
    return b"".join(
        (before.SerializeToString(), _DATA, size, start, raw, end, after.SerializeToString()),
    )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
