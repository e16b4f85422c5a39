"""What goes over the socket between the service and a decoding worker: a JSON header and raw bytes, no pickle.

Each message is `>IQ` (length of the header, length of the payload), the header, the payload.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from dataclasses import asdict
from typing import Any

from imaging.dicom.pixel_description import PixelDescription

_LENGTHS = struct.Struct(">IQ")
MAX_HEADER_BYTES = 1 << 16


class WireBroken(Exception):
    """The other side says what it must not say."""


class WireClosed(WireBroken):
    """The other side is gone."""


def send_message(
    connection: socket.socket, header: dict[str, Any], payload: bytes | bytearray | memoryview, deadline: float | None
) -> None:
    """Write one message; `deadline` is a `time.monotonic()`.

    Raises
    ------
    TimeoutError
        At the deadline.
    OSError
        If the other side is gone.
    """
    text = json.dumps(header, separators=(",", ":")).encode()
    for part in (_LENGTHS.pack(len(text), len(payload)) + text, payload):
        connection.settimeout(_remaining(deadline))
        connection.sendall(part)


def receive_header(connection: socket.socket, deadline: float | None) -> tuple[dict[str, Any], int]:
    """The header of the next message and the length of its payload, which is still to be read.

    Raises
    ------
    TimeoutError
        At the deadline.
    WireBroken
        If the other side closed or the header is senseless.
    """
    lengths = bytearray(_LENGTHS.size)
    receive_into(connection, memoryview(lengths), deadline)
    header_bytes, payload_bytes = _LENGTHS.unpack(lengths)
    if header_bytes > MAX_HEADER_BYTES:
        raise WireBroken(f"a header of {header_bytes} bytes")
    text = bytearray(header_bytes)
    receive_into(connection, memoryview(text), deadline)
    try:
        header = json.loads(text)
    except ValueError as error:
        raise WireBroken("a header that is no JSON") from error
    if not isinstance(header, dict):
        raise WireBroken("a header that is no object")
    return header, payload_bytes


def receive_into(connection: socket.socket, target: memoryview, deadline: float | None) -> None:
    """Fill `target` (contiguous bytes).

    Raises
    ------
    TimeoutError
        At the deadline.
    WireClosed
        If the other side closed first.
    """
    done = 0
    while done < len(target):
        connection.settimeout(_remaining(deadline))
        received = connection.recv_into(target[done:])
        if not received:
            raise WireClosed("closed")
        done += received


def description_to_json(pixels: PixelDescription) -> dict[str, Any]:
    """The description as JSON members."""
    return asdict(pixels)


def description_from_json(members: dict[str, Any]) -> PixelDescription:
    """The description that `description_to_json` was given."""
    return PixelDescription(**members)


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining
