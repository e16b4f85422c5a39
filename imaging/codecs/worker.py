"""The process that decodes foreign pixel data and may die of it.

Started as `python -m imaging.codecs.worker SOCKET_FD PARENT_PID` by `imaging.codecs.sandbox`. It reads one frame at a
time from the socket, decodes it under limits of memory and processor time, and ends when the socket closes or its
parent dies.
"""

from __future__ import annotations

import resource
import socket
import sys
from typing import Any

import numpy as np

from imaging.codecs.child_limits import die_with_parent, mapped_bytes
from imaging.codecs.decode import check_decodable, decode_frame
from imaging.codecs.worker_wire import (
    WireBroken,
    description_from_json,
    receive_header,
    receive_into,
    send_message,
)
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import InvalidDicom, PixelDataInvalid, UnsupportedTransferSyntax

_MEMORY_FOR_CODEC_BYTES = 256 << 20
_MEMORY_PER_DECODED_BYTE = 12
"""OpenJPEG works in 4 bytes a sample and keeps up to two more copies; an 8-bit frame needs the most for its size."""


def main(arguments: list[str] | None = None) -> None:
    """Serve the socket until it closes."""
    descriptor, parent = (int(argument) for argument in (arguments or sys.argv[1:]))
    die_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=descriptor)
    try:
        send_message(connection, {"ready": True}, b"", None)
        while True:
            serve_one(connection)
    except (WireBroken, OSError):
        return


def serve_one(connection: socket.socket) -> None:
    """Answer one frame: its samples, or why it cannot be decoded."""
    request, size = receive_header(connection, None)
    pixels = description_from_json(request["pixels"])
    frame_bytes = bytearray(size)
    receive_into(connection, memoryview(frame_bytes), None)
    try:
        check_decodable(pixels)
        _limit(pixels, size, request["memory_limit_bytes"], request["cpu_limit_seconds"])
        samples = decode_frame(
            frame_bytes, request["transfer_syntax_uid"], pixels, resolution_level=request["resolution_level"]
        )
        samples = np.ascontiguousarray(samples)
    except (PixelDataInvalid, UnsupportedTransferSyntax) as error:
        answer: dict[str, Any] = _refusal(error)
        payload: memoryview | bytes = b""
    except MemoryError:
        answer = _refusal(
            PixelDataInvalid(
                "The frame needs more memory to decode than is allowed",
                where="Pixel Data (7FE0,0010)",
                hint="It is damaged, or far larger than its attributes tell.",
            )
        )
        payload = b""
    else:
        answer = {"shape": samples.shape, "type": samples.dtype.str}
        payload = samples.data.cast("B")
    _unlimit_memory()
    send_message(connection, answer, payload, None)


def _refusal(error: InvalidDicom) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
        "metadata": error.metadata,
    }


def _limit(pixels: PixelDescription, size: int, memory_limit_bytes: int, cpu_limit_seconds: float) -> None:
    """Bound what this frame may take: address space on top of what is mapped now, and processor time from now on."""
    wanted = _MEMORY_FOR_CODEC_BYTES + 4 * size + _MEMORY_PER_DECODED_BYTE * pixels.decoded_frame_bytes
    address_space = mapped_bytes() + min(wanted, memory_limit_bytes)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space, hard))
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + cpu_limit_seconds + 1), hard))


def _unlimit_memory() -> None:
    """Lift the limit between frames, so that a frame's copies on the way out are not counted against it."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


if __name__ == "__main__":
    main()
