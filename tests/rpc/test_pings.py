"""HTTP/2 pings (RFC 9113, 6.7) of clients that ask often, written as bytes: no library of ours would send so many."""

from __future__ import annotations

import asyncio
import struct
from datetime import timedelta
from typing import Final

from imaging.rpc.connection_settings import ListenSettings
from imaging.rpc.server import RpcServer

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACKNOWLEDGES: Final = 1


def _frame(kind: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, 0) + payload


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Kind, flags and payload."""
    head = await reader.readexactly(9)
    return head[3], head[4], await reader.readexactly(int.from_bytes(head[:3], "big"))


async def test_a_connection_without_calls_is_kept_however_often_it_pings() -> None:
    server = RpcServer(ListenSettings(), {})
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(PREFACE + _frame(SETTINGS) + _frame(SETTINGS, flags=ACKNOWLEDGES))
        for number in range(20):
            asked = number.to_bytes(8, "big")
            writer.write(_frame(PING, asked))
            while True:
                kind, flags, payload = await asyncio.wait_for(_read_frame(reader), 20)
                assert kind != GOAWAY, payload
                if kind == PING and flags == ACKNOWLEDGES:
                    assert payload == asked
                    break
    finally:
        writer.close()
        await server.stop(timedelta(0))
