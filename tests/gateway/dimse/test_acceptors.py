"""Acceptor processes: they die and come again, and what they need may be away, without anything being lost or stuck."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.sop_class import CTImageStorage, Verification

from gateway_svc.dimse import status
from gateway_svc.dimse.acceptors import Acceptors
from gateway_svc.dimse.association import Association
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.requestor import RemoteAe, associate
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import SettingsInvalid, Unavailable
from imaging.settings import Settings, load_settings
from tests.gateway.dimse.archive import c_store, data_set_of, free_port
from tests.installation.storage_process import storage_process
from tests.storage.storage_under_test import ct

CT = [(CTImageStorage, [ExplicitVRLittleEndian])]


def settings(data_dir: Path, storage: str = "", **gateway: object) -> Settings:
    """A gateway's, without storage if no address is given."""
    own = {"gateway.dimse_address": "127.0.0.1:0", **{f"gateway.{name}": value for name, value in gateway.items()}}
    address = storage or f"127.0.0.1:{free_port()}"
    return load_settings(env={}, overrides={"data_dir": data_dir, "storage.address": address, **own})


async def no_ledger(end: socket.socket) -> None:
    """Nobody asks for commitment here."""
    end.close()


async def reach(port: int, contexts: list[tuple[str, list[str]]]) -> Association:
    return await associate(RemoteAe(f"127.0.0.1:{port}", "IMAGING"), "CT", contexts, timeout_seconds=30)


async def echo(port: int) -> int | None:
    association = await reach(port, [(Verification, [EXPLICIT_VR_LITTLE_ENDIAN])])
    (context,) = association.contexts.values()
    await association.send(context, Command(CommandField.C_ECHO, affected_sop_class_uid=Verification, message_id=1))
    answer = await association.receive()
    await association.release()
    assert answer is not None
    return answer.command.status


@asynccontextmanager
async def accepting(
    own: Settings, ledger: Callable[[socket.socket], Awaitable[None]] = no_ledger
) -> AsyncIterator[Acceptors]:
    """Acceptors, started; stopped at the end."""
    acceptors = Acceptors(own, ledger)
    acceptors.start()
    try:
        yield acceptors
    finally:
        await acceptors.stop(timedelta(seconds=1))


async def kill_and_reach_again(acceptors: Acceptors) -> int:
    """The process ID that the only acceptor had; another one answers at its port."""
    (port,) = acceptors.ports
    assert await echo(port) == status.SUCCESS
    (pid,) = acceptors.pids
    os.kill(pid, signal.SIGKILL)
    assert await echo(port) == status.SUCCESS
    assert acceptors.pids != [pid]
    return pid


async def test_an_acceptor_that_is_killed_comes_again_and_connections_wait_for_it(tmp_path: Path) -> None:
    async with accepting(settings(tmp_path, dimse_acceptors=1)) as acceptors:
        (port,) = acceptors.ports
        pid = await kill_and_reach_again(acceptors)
    assert not psutil.pid_exists(pid)
    with pytest.raises(Unavailable):
        await reach(port, [(Verification, [EXPLICIT_VR_LITTLE_ENDIAN])])


async def test_an_acceptor_whose_ledger_fails_comes_again_too(tmp_path: Path) -> None:
    async def failing_ledger(end: socket.socket) -> None:
        end.close()
        raise RuntimeError("a defect")

    async with accepting(settings(tmp_path, dimse_acceptors=1), failing_ledger) as acceptors:
        await kill_and_reach_again(acceptors)


async def test_without_storage_a_sender_is_told_to_send_again_and_its_association_goes_on(tmp_path: Path) -> None:
    async with accepting(settings(tmp_path, dimse_acceptors=1, dimse_answer_seconds=1.5)) as acceptors:
        association = await reach(acceptors.ports[0], CT)
        for size in (1, 300):  # whole, and in chunks
            data = data_set_of(ct(ImageComments="x" * 20_000 * size))
            async with asyncio.timeout(10):
                assert await c_store(association, CTImageStorage, "1.2.3.1.1", data) == status.OUT_OF_RESOURCES
        await association.release()


async def test_storage_may_be_killed_or_stopped_in_the_middle_of_an_association(tmp_path: Path) -> None:
    with storage_process(tmp_path / "storage") as storage:
        own = settings(tmp_path, storage.address, dimse_acceptors=1, dimse_answer_seconds=90)
        async with accepting(own) as acceptors:
            association = await reach(acceptors.ports[0], CT)
            assert await c_store(association, CTImageStorage, "1.2.3.1.1", data_set_of(ct())) == status.SUCCESS
            storage.kill()
            restart = asyncio.create_task(asyncio.to_thread(storage.start))
            data = data_set_of(ct(sop="1.2.3.1.2"))
            assert await c_store(association, CTImageStorage, "1.2.3.1.2", data) == status.SUCCESS
            await restart
            await association.release()
        own = settings(tmp_path, storage.address, dimse_acceptors=1, dimse_answer_seconds=4)
        async with accepting(own) as acceptors:
            association = await reach(acceptors.ports[0], CT)
            os.kill(storage.pid, signal.SIGSTOP)
            try:
                data = data_set_of(ct(sop="1.2.3.1.3"))
                async with asyncio.timeout(15):
                    answered = await c_store(association, CTImageStorage, "1.2.3.1.3", data)
                assert answered == status.OUT_OF_RESOURCES
            finally:
                os.kill(storage.pid, signal.SIGCONT)
            assert await c_store(association, CTImageStorage, "1.2.3.1.3", data) == status.SUCCESS
            await association.release()


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = settings(tmp_path, dimse_address=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(Unavailable, match="listened on"):
            Acceptors(taken, no_ledger).start()


@pytest.mark.parametrize(
    ("gateway", "where"),
    [
        ({"dimse_address": "0.0.0.0:0"}, "gateway.dimse_address"),
        ({"dimse_key_file": "x.pem"}, "gateway.dimse_key_file"),
        ({"dimse_tls_address": "127.0.0.1:0"}, "gateway.dimse_tls_address"),
        ({"dimse_tls_address": "127.0.0.1:0", "dimse_key_file": "x.pem"}, "gateway.dimse_certificate_file"),
    ],
)
def test_unsafe_or_half_settings_are_refused(tmp_path: Path, gateway: dict[str, object], where: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        Acceptors(settings(tmp_path, **gateway), no_ledger)
    assert refused.value.where == where


def test_plain_text_to_other_machines_must_be_meant(tmp_path: Path) -> None:
    Acceptors(settings(tmp_path, dimse_address="0.0.0.0:0", dimse_plain_text=True), no_ledger)
