"""The one port in front of services that run in the test's own process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imaging.front.entry import certificate_of_front
from imaging.front.program import front_command, front_serves, traefik_program, write_configuration
from imaging.settings import Settings


@dataclass(frozen=True, slots=True)
class Front:
    """A running front."""

    address: str
    url: str
    log: Path

    def requests(self) -> list[dict[str, Any]]:
        """The lines of its access log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if "RequestMethod" in line]


@asynccontextmanager
async def running_front(
    settings: Settings, folder: Path, env: Mapping[str, str] | None = None, **front: object
) -> AsyncIterator[Front]:
    """Traefik with the configuration of the settings, on a free port, from when the gateway answers through it."""
    program = traefik_program()
    assert program is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    section = settings.front.model_copy(update={"address": address, **front})
    settings = settings.model_copy(update={"front": section})
    settings.check_front()
    command = front_command(program, write_configuration(settings, folder, env or {}))
    log = folder / "front.log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(*command, stderr=written, env={**os.environ, **(env or {})})
    try:
        async with asyncio.timeout(30):
            await front_serves(settings)
        scheme = "http" if certificate_of_front(settings) is None else "https"
        yield Front(address, f"{scheme}://{address}", log)
    finally:
        process.terminate()
        await process.wait()


def grpc_web_frame(message: bytes) -> bytes:
    """A message as gRPC and gRPC-Web frame it."""
    return struct.pack(">BI", 0, len(message)) + message


def grpc_web_answer(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Messages and trailers of a gRPC-Web answer."""
    messages: list[bytes] = []
    trailers: dict[str, str] = {}
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        content, body = body[5 : 5 + length], body[5 + length :]
        if flags & 0x80:
            for line in content.decode("ascii").splitlines():
                name, _, value = line.partition(":")
                trailers[name.strip().lower()] = value.strip()
        else:
            messages.append(content)
    return messages, trailers


async def grpc_web(client: httpx.AsyncClient, method: str, message: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Call a method as a browser does; what came."""
    answer = await client.post(
        f"/{method}",
        content=grpc_web_frame(message),
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )
    assert answer.status_code == 200, answer.text
    messages, trailers = grpc_web_answer(answer.content)
    # A call that fails before its first message has them as headers.
    return messages, trailers or dict(answer.headers)
