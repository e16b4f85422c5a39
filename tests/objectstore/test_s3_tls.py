"""S3 servers with a certificate of the house: trusted where the settings name its authority, refused where not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.errors import SettingsInvalid
from imaging.objectstore.s3 import S3ObjectStore
from imaging.objectstore.s3_proof import PART_BYTES
from tests.house_certificates import HouseCertificates
from tests.objectstore.s3_servers import OWNER, SERVERS, S3Server, program


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> HouseCertificates:
    return HouseCertificates(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, certificates: HouseCertificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    needed, run = SERVERS[request.param]
    if program(needed) is None:
        pytest.skip(f"the program `{needed}` is not installed, so TLS is not tried on {request.param}")
    with run(tmp_path_factory.mktemp(request.param), certificates.server("127.0.0.1")) as running:
        yield running


def test_objects_are_kept_over_tls_when_the_house_authority_is_named(
    server: S3Server, certificates: HouseCertificates, tmp_path: Path
) -> None:
    access = server.access(f"test-{secrets.token_hex(6)}", secure=True, ca_file=certificates.authority)
    store = S3ObjectStore(tmp_path, access, OWNER)
    large = secrets.token_bytes(PART_BYTES + 100)
    store.put("small", b"content")
    store.put("large", large)
    assert store.read("small") == b"content"
    assert store.read("large", PART_BYTES - 5, 10) == large[PART_BYTES - 5 :][:10]


@pytest.mark.parametrize("trusted", ["nothing of the house", "another house"])
def test_a_certificate_that_is_not_trusted_is_named_with_its_setting(
    server: S3Server, certificates: HouseCertificates, tmp_path: Path, trusted: str
) -> None:
    other = HouseCertificates(tmp_path / "other").authority if trusted == "another house" else None
    with pytest.raises(SettingsInvalid) as raised:
        S3ObjectStore(tmp_path / "s3", server.access("any", secure=True, ca_file=other), OWNER)
    assert raised.value.where == "storage.s3_ca_file"


def test_a_certificate_of_another_host_is_refused(
    server: S3Server, certificates: HouseCertificates, tmp_path: Path
) -> None:
    access = server.access("any", secure=True, ca_file=certificates.authority, host="localhost")
    with pytest.raises(SettingsInvalid) as raised:
        S3ObjectStore(tmp_path / "s3", access, OWNER)
    assert raised.value.where == "storage.s3_ca_file"
