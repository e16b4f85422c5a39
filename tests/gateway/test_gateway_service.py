"""The gateway as a service: its doors, its destinations, and what it refuses to open."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import grpc
import httpx
import pytest

from gateway_svc.http.server import HttpServer
from gateway_svc.service import build
from imaging.errors import SettingsInvalid, Unavailable
from imaging.gateway.v1 import gateway_pb2, gateway_service_pb2, gateway_service_pb2_grpc
from imaging.rpc.connection_settings import ListenSettings
from imaging.settings import load_settings
from imaging.supervisor.environment import child_environment
from tests.installation.in_process import services_in_process

DESTINATIONS = """
[gateway]
ae_title = "RESEARCH"
http_hosts = ["pacs.example.org"]

[gateway.destinations.research-pacs]
description = "Research PACS"
ae_title = "PACS"
address = "10.0.0.5:104"
tls = true

[gateway.destinations.archive]
url = "https://archive.example.org/dicom-web"
"""


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "imaging.toml"
    file.write_text(DESTINATIONS)
    return file


async def test_destinations_are_those_of_the_settings_file(settings_file: Path, tmp_path: Path) -> None:
    destinations = load_settings(settings_file, env={}).gateway.destinations
    async with (
        services_in_process(tmp_path / "data", "gateway", overrides={"gateway.destinations": destinations}) as settings,
        grpc.aio.insecure_channel(settings.gateway.address) as channel,
    ):
        stub = gateway_service_pb2_grpc.GatewayServiceStub(channel)
        answer = await stub.ListDestinations(gateway_service_pb2.ListDestinationsRequest())
    archive, pacs = answer.destinations
    assert (archive.name, archive.kind, archive.tls) == (
        "destinations/archive",
        gateway_pb2.Destination.KIND_STOW_RS,
        True,
    )
    assert (pacs.name, pacs.ae_title, pacs.address, pacs.description) == (
        "destinations/research-pacs",
        "PACS",
        "10.0.0.5:104",
        "Research PACS",
    )


@pytest.mark.parametrize("name", ["ca_file", "token_file"])
async def test_a_file_of_a_destination_that_is_missing_is_told_at_the_start(tmp_path: Path, name: str) -> None:
    destinations = {"pacs": {"url": "https://pacs.example.org", name: tmp_path / "missing"}}
    settings = load_settings(env={}, overrides={"data_dir": tmp_path, "gateway.destinations": destinations})
    with pytest.raises(SettingsInvalid, match=f"gateway.destinations.pacs.{name}"):
        build(settings)


def test_child_process_gets_the_same_destinations_and_names(settings_file: Path) -> None:
    settings = load_settings(settings_file, env={})
    assert load_settings(env=child_environment(settings, {})) == settings


def test_names_may_be_given_with_commas() -> None:
    overrides = {"gateway.http_hosts": "a.example.org, b.example.org"}
    assert load_settings(env={}, overrides=overrides).gateway.http_hosts == ("a.example.org", "b.example.org")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('ae_title = "PACS"', "give either `url`, or `address`"),
        ('address = "h:1"', "`address` and `ae_title` belong together"),
        ('url = "ftp://h/"', "url"),
        ('url = "https://h"\nadress = "h:1"', "adress"),
    ],
)
def test_destination_that_cannot_be_is_refused_with_its_line(tmp_path: Path, wrong: str, told: str) -> None:
    file = tmp_path / "imaging.toml"
    file.write_text(f'[storage]\naddress = "127.0.0.1:1"\n\n[gateway.destinations.pacs]\n{wrong}\n')
    with pytest.raises(SettingsInvalid, match="pacs") as refused:
        load_settings(file, env={})
    assert told in refused.value.what
    assert refused.value.where == f"{file}:4"


async def test_http_door_answers_beside_grpc(tmp_path: Path) -> None:
    doors = ("gateway.address", "gateway.http_address", "gateway.dimse_address")
    overrides = {"data_dir": tmp_path, **dict.fromkeys(doors, "127.0.0.1:0")}
    service = build(load_settings(env={}, overrides=overrides))
    await service.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}") as client:
            answer = await client.get("/healthz")
        assert (answer.status_code, answer.text) == (200, "ok\n")
        assert "server" not in answer.headers
    finally:
        await service.stop(timedelta(seconds=1))


async def test_http_door_to_other_machines_needs_tls_and_a_token(tmp_path: Path) -> None:
    settings = load_settings(env={}, overrides={"gateway.http_address": "0.0.0.0:8080"})
    with pytest.raises(SettingsInvalid, match="without TLS") as refused:
        build(settings)
    assert refused.value.where == "gateway.http_address"


async def test_taken_http_port_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(Unavailable, match="listened on"):
            await HttpServer(ListenSettings(address), None).start()
