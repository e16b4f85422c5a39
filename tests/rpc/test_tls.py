"""A server with a certificate and a token, and clients by the same settings; nobody else gets through."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path
from shutil import which
from typing import Any

import grpc
import pytest

from imaging import errors
from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.rpc.channel import ChannelSettings, open_channel
from imaging.rpc.server import RpcServer
from imaging.rpc.status import domain_errors
from imaging.settings import Settings, load_settings

REQUEST = pipeline_service_pb2.GetRunRequest(name="runs/one")


class OneRun(pipeline_service_pb2_grpc.PipelineServiceServicer):
    async def GetRun(self, request: Any, context: Any) -> Any:
        return pipeline_service_pb2.GetRunResponse(run=pipeline_pb2.Run(name=request.name))


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
    return load_settings(env={}, overrides={**overrides, "pipeline.address": "127.0.0.1:0"})


async def _run_name(port: int, how: ChannelSettings) -> str:
    async with open_channel(f"127.0.0.1:{port}", how) as channel:
        with domain_errors():
            answer: Any = await pipeline_service_pb2_grpc.PipelineServiceStub(channel).GetRun(REQUEST, timeout=5)
    return str(answer.run.name)


async def test_clients_with_the_settings_of_the_server_are_served_and_others_are_not(settings: Settings) -> None:
    def add(server: grpc.aio.Server) -> None:
        pipeline_service_pb2_grpc.add_PipelineServiceServicer_to_server(OneRun(), server)

    server = RpcServer(settings.listen("pipeline"), {"imaging.pipeline.v1.PipelineService": add})
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
