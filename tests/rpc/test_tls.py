"""A server with a certificate and a token, and clients by the same settings; nobody else gets through."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from shutil import which
from typing import Any

import grpc
import pytest

from imaging import errors
from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings
from imaging.rpc.server import RpcServer
from imaging.rpc.status import domain_errors
from imaging.settings import Settings, load_settings

SERVICE = "imaging.pipeline.v1.PipelineService"
REQUEST = pipeline_service_pb2.GetRunRequest(name="runs/one")


class OneRun(pipeline_service_pb2_grpc.PipelineServiceServicer):
    async def GetRun(self, request: Any, context: Any) -> Any:
        return pipeline_service_pb2.GetRunResponse(run=pipeline_pb2.Run(name=request.name))


def _add(server: grpc.aio.Server) -> None:
    pipeline_service_pb2_grpc.add_PipelineServiceServicer_to_server(OneRun(), server)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    if which("openssl") is None:
        pytest.skip("the program openssl makes the certificate")
    certificate, key, token = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "token"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    token.write_text("0123456789abcdef\n")
    for secret in (key, token):
        secret.chmod(0o600)
    security = {"certificate_file": certificate, "key_file": key, "ca_file": certificate, "token_file": token}
    overrides: dict[str, object] = {f"security.{name}": file for name, file in security.items()}
    return load_settings(
        env={}, overrides={**overrides, "pipeline.address": "127.0.0.1:0", "storage.address": "127.0.0.1:0"}
    )


async def _run_name(port: int, how: ChannelSettings) -> str:
    async with open_channel(f"127.0.0.1:{port}", how) as channel:
        with domain_errors():
            answer: Any = await pipeline_service_pb2_grpc.PipelineServiceStub(channel).GetRun(REQUEST, timeout=5)
    return str(answer.run.name)


async def test_clients_with_the_settings_of_the_server_are_served_and_others_are_not(settings: Settings) -> None:
    server = RpcServer(settings.listen("pipeline"), {SERVICE: _add})
    port = await server.start()
    how = settings.channel()
    try:
        assert await _run_name(port, how) == "runs/one"
        with pytest.raises(errors.Unauthenticated):
            await _run_name(port, ChannelSettings(how.ca_file))
        with pytest.raises(errors.Unauthenticated):
            await _run_name(port, ChannelSettings(how.ca_file, "fedcba9876543210"))
        with pytest.raises(errors.Unavailable, match="TLS"):
            await _run_name(port, ChannelSettings(None, how.token))
    finally:
        await server.stop(timedelta(0))


async def test_a_probe_that_speaks_no_tls_learns_of_health_and_of_nothing_else(settings: Settings) -> None:
    telemetry = settings.telemetry.model_copy(update={"health_address": f"127.0.0.1:{_free_port()}"})
    listen = settings.model_copy(update={"telemetry": telemetry}).listen("storage")
    server = RpcServer(listen, {SERVICE: _add})
    await server.start(serving=False)
    try:
        assert await _probe(listen.health_address) == 1, "it does not take work yet"
        await server.set_serving(True)
        assert await _probe(listen.health_address) == 0
        assert await _probe(f"127.0.0.1:{server.port}") == 1, "the port of the calls speaks TLS alone"
        with pytest.raises(errors.ImagingError):
            await _run_name(int(listen.health_address.rpartition(":")[2]), ChannelSettings(token="0123456789abcdef"))
    finally:
        await server.stop(timedelta(0))


async def _probe(address: str) -> int:
    command = [sys.executable, "-m", "imaging.rpc.health_probe", address]
    probe = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await probe.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
