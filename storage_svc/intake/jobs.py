"""What the service asks of its intake process, and how both put it on the wire.

Messages are pickled lists behind their length. Both ends are this program, and what is unpickled was made by our own
code from bounded values; decoders of foreign pixel data, which may be taken over, are other processes
(`imaging/codecs`).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple

from storage_svc.ingest.examine import Expected

_LENGTH = Struct(">I")


class ExamineJob(NamedTuple):
    """Scan and digest an instance; the result is an `Examined`."""

    number: int
    start: int
    size_bytes: int
    expected: Expected


class KeepJob(NamedTuple):
    """Make a durable object of an instance; the result is None."""

    number: int
    key: str
    start: int
    size_bytes: int


Job = ExamineJob | KeepJob


class Done(NamedTuple):
    """The outcome of a job: its result, or the error that it ended with."""

    number: int
    result: Any
    error: Exception | None


def packed(messages: Sequence[Job] | Sequence[Done]) -> bytes:
    """The messages as they go over the socket."""
    content = pickle.dumps(messages, protocol=5)
    return _LENGTH.pack(len(content)) + content


class Unpacker:
    """Collects received bytes and gives out whole messages."""

    def __init__(self) -> None:
        self._received = bytearray()

    def add(self, received: bytes) -> Iterator[Any]:
        """The messages that are whole now, in order."""
        self._received += received
        position = 0
        while len(self._received) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received, position)
            end = position + _LENGTH.size + length
            if len(self._received) < end:
                break
            yield from pickle.loads(memoryview(self._received)[position + _LENGTH.size : end].tobytes())
            position = end
        del self._received[:position]
