"""DICOM TLS in both roles: as SCP at an address of its own, as SCU towards a destination."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.sop_class import CTImageStorage

from gateway_svc.dimse import status
from gateway_svc.dimse.requestor import RemoteAe, associate
from imaging.client.destinations import AsyncDestinations
from imaging.errors import FailedPrecondition, ImagingError, Unavailable
from imaging.rpc.channel import open_channel
from tests.gateway.dimse.archive import c_store, data_set_of, free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.test_c_find import keep
from tests.house_certificates import HouseCertificates, ServerCertificate
from tests.storage.storage_under_test import ct

CT = [(CTImageStorage, [ExplicitVRLittleEndian])]


@pytest.fixture
def certificate(tmp_path: Path) -> ServerCertificate:
    return HouseCertificates(tmp_path / "house").server("127.0.0.1")


def tls_settings(certificate: ServerCertificate, port: int, **more: object) -> dict[str, object]:
    return {
        "gateway__dimse_tls_address": f"127.0.0.1:{port}",
        "gateway__dimse_certificate_file": certificate.chain,
        "gateway__dimse_key_file": certificate.key,
        **more,
    }


def trusting(certificate: ServerCertificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate.authority)


async def test_an_instance_is_stored_over_tls(start: Start, certificate: ServerCertificate) -> None:
    port = free_port()
    async with start(**tls_settings(certificate, port)) as archive:
        remote = RemoteAe(f"127.0.0.1:{port}", "IMAGING", trusting(certificate))
        association = await associate(remote, "CT", CT)
        content = ct(ImageComments="x" * 300_000)
        assert await c_store(association, CTImageStorage, "1.2.3.1.1", data_set_of(content)) == status.SUCCESS
        await association.release()
        assert data_set_of((await archive.objects("studies/1.2.3"))["1.2.3.1.1"]) == data_set_of(content)


async def test_neither_plain_text_nor_an_unknown_authority_becomes_an_association(
    start: Start, certificate: ServerCertificate
) -> None:
    port = free_port()
    async with start(**tls_settings(certificate, port)):
        for tls in (None, ssl.create_default_context()):
            with pytest.raises(Unavailable):
                await associate(RemoteAe(f"127.0.0.1:{port}", "IMAGING", tls), "CT", CT, timeout_seconds=10)


async def test_a_caller_that_must_prove_itself_gets_in_with_its_certificate_alone(
    start: Start, certificate: ServerCertificate
) -> None:
    port = free_port()
    own = tls_settings(certificate, port, gateway__dimse_client_ca_file=certificate.authority)
    async with start(**own):
        with pytest.raises((ImagingError, OSError)):
            await associate(
                RemoteAe(f"127.0.0.1:{port}", "IMAGING", trusting(certificate)), "CT", CT, timeout_seconds=10
            )
        proven = trusting(certificate)
        proven.load_cert_chain(certificate.chain, certificate.key)
        association = await associate(RemoteAe(f"127.0.0.1:{port}", "IMAGING", proven), "CT", CT)
        await association.release()


async def test_instances_are_sent_over_tls(start: Start, certificate: ServerCertificate) -> None:
    """To itself, which has them already."""
    port = free_port()
    destinations = {
        "tls": {"ae_title": "IMAGING", "address": f"127.0.0.1:{port}", "tls": True, "ca_file": certificate.authority},
        "plain": {"ae_title": "IMAGING", "address": f"127.0.0.1:{port}"},
    }
    own = tls_settings(certificate, port, gateway__destinations=destinations)
    async with start(**own) as archive, open_channel(archive.settings.gateway.address) as channel:
        await keep(archive, ct())
        client = AsyncDestinations(channel)
        assert (await client.echo("tls")).error is None
        assert isinstance((await client.echo("plain")).error, Unavailable | FailedPrecondition)
        steps = [step async for step in client.send("tls", ["studies/1.2.3"])]
        assert (steps[-1].sent_count, steps[-1].not_sent) == (1, ())


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("storescu") is None, reason="DCMTK is not installed, so its programs do not call")
async def test_storescu_and_echoscu_over_tls(start: Start, certificate: ServerCertificate, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "ct.dcm").write_bytes(ct())
    async with start(**tls_settings(certificate, port)) as archive:
        for command, more in (("echoscu", ()), ("storescu", (str(tmp_path / "ct.dcm"),))):
            process = await asyncio.create_subprocess_exec(
                *(command, "+tla", "+cf", str(certificate.authority), "127.0.0.1", str(port), *more),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 0, said.decode(errors="replace")
        assert await archive.study_uids() == ["1.2.3"]
