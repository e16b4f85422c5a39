"""The door: whatever knocks that is no modality costs nothing, and keeps no modality out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import psutil
import pytest

from gateway_svc.dimse import association as association_module
from gateway_svc.dimse import status
from gateway_svc.dimse.associate_pdu import AssociateRequest, ProposedContext, UserInformation, encode_request
from gateway_svc.dimse.association import Association
from gateway_svc.dimse.callers import Callers
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.connection import Caller, DoorLimits
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.door import MOST_UNASSOCIATED, Door, Serve
from gateway_svc.dimse.pdu import HEADER, PduType
from gateway_svc.dimse.requestor import RemoteAe, associate
from gateway_svc.dimse.sop_classes import VERIFICATION, SopClasses
from imaging.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import FailedPrecondition, Overloaded
from imaging.settings.gateway import Peer

ECHO = [(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])]
REQUEST = encode_request(
    AssociateRequest(
        "IMAGING", "ODD", (ProposedContext(1, VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,)),), UserInformation(16384)
    )
)


@dataclass
class Opened:
    """A door under test."""

    door: Door
    port: int
    refused: list[tuple[str, str, str]] = field(default_factory=list)

    async def associate(self, calling: str = "CT", called: str = "IMAGING") -> Association:
        return await associate(RemoteAe(f"127.0.0.1:{self.port}", called), calling, ECHO, timeout_seconds=5)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


async def serve(association: Association, caller: Caller) -> None:
    """Answer every request with success."""
    while (message := await association.next_request()) is not None:
        await association.send(message.context, message.command.response(status.SUCCESS))


async def echo(association: Association) -> int | None:
    (context,) = association.contexts.values()
    request = Command(CommandField.C_ECHO, affected_sop_class_uid=VERIFICATION, message_id=1)
    await association.send(context, request)
    answer = await association.receive()
    assert answer is not None
    return answer.command.status


@asynccontextmanager
async def opened(
    *, serve: Serve = serve, limits: DoorLimits | None = None, peers: tuple[Peer, ...] = (), is_open: bool = True
) -> AsyncIterator[Opened]:
    refused: list[tuple[str, str, str]] = []
    door = Door(
        callers=Callers(peers, "IMAGING"),
        sop_classes=SopClasses(),
        serve=serve,
        on_refused=lambda request, host, why: refused.append((request.calling_ae_title, host, why)),
        limits=limits,
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: door.connection(is_open=is_open), "127.0.0.1", 0, backlog=2048)
    watch = asyncio.create_task(door.watch())
    try:
        yield Opened(door, server.sockets[0].getsockname()[1], refused)
    finally:
        server.close()
        await door.drain(timedelta(seconds=0.2))
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def closed(reader: asyncio.StreamReader, seconds: float = 5) -> bytes:
    """What the door says before it closes the connection."""
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    except ConnectionResetError:
        return b""


async def test_an_echo_is_answered_and_the_release_confirmed() -> None:
    async with opened() as at:
        association = await at.associate()
        assert await echo(association) == status.SUCCESS
        await association.release()
        assert not association.is_open


async def test_a_peer_that_takes_no_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association_module, "STALLED_SECONDS", 0.3)
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def pour(association: Association, caller: Caller) -> None:
        message = await association.next_request()
        assert message is not None
        try:  # more than any buffer holds
            await association.send(message.context, message.command.response(status.PENDING), b"x" * 64_000_000)
        except AssociationLost as error:
            lost.set_result(str(error))
            raise

    async with opened(serve=pour, limits=DoorLimits(artim_seconds=0.5)) as at:
        deaf = await at.associate()
        (context,) = deaf.contexts.values()
        deaf.stream.pause()
        await deaf.send(context, Command(CommandField.C_ECHO, affected_sop_class_uid=VERIFICATION, message_id=1))
        assert await asyncio.wait_for(lost, 10) == "the peer takes nothing"
        deaf.stream.drop()


async def test_a_cancel_that_comes_too_late_cancels_no_later_request() -> None:
    seen: list[set[int | None]] = []

    async def note(association: Association, caller: Caller) -> None:
        while (message := await association.next_request()) is not None:
            seen.append(set(association.cancelled))
            await association.send(message.context, message.command.response(status.SUCCESS))

    async with opened(serve=note) as at:
        association = await at.associate()
        (context,) = association.contexts.values()
        for number in range(40):  # more than are remembered
            assert await echo(association) == status.SUCCESS
            await association.send(context, Command(CommandField.C_CANCEL, message_id_responded_to=number + 1))
        await association.release()
    assert seen == [set()] * 40


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 100,
        HEADER.pack(PduType.P_DATA_TF, 0xFFFFFFFF),
        HEADER.pack(PduType.ASSOCIATE_RQ, 0xFFFFFFFF),
        HEADER.pack(PduType.ABORT, 4) + bytes(4),
        REQUEST[:6] + b"\xff" * (len(REQUEST) - 6),
        REQUEST + REQUEST,
    ],
)
async def test_what_is_no_association_is_closed_at_once(sent: bytes) -> None:
    async with opened(limits=DoorLimits(artim_seconds=30)) as at:
        reader, writer = await at.connect()
        writer.write(sent)
        await closed(reader, 3)
        writer.close()
        association = await at.associate()
        assert await echo(association) == status.SUCCESS
        await association.release()


@pytest.mark.parametrize("sent", [b"", REQUEST[:3], REQUEST[:-1]])
async def test_who_says_nothing_or_not_all_is_closed_in_time(sent: bytes) -> None:
    async with opened(limits=DoorLimits(artim_seconds=0.5)) as at:
        reader, writer = await at.connect()
        writer.write(sent)
        await closed(reader)
        writer.close()


@pytest.mark.slow
async def test_ten_thousand_knocks_leave_nothing_behind() -> None:
    async with opened() as at:

        async def knock(sent: bytes) -> None:
            reader, writer = await at.connect()
            if sent:
                writer.write(sent)
                await closed(reader)
            writer.close()

        async def round_of(count: int) -> None:
            for _ in range(count // 50):
                await asyncio.gather(*(knock(b"GET / HTTP/1.1\r\n" if n % 2 else b"") for n in range(50)))

        await round_of(2_000)
        before = psutil.Process().memory_info().rss
        await round_of(8_000)
        assert psutil.Process().memory_info().rss - before < 20 << 20
        async with asyncio.timeout(5):
            while at.door.connection_count:  # noqa: ASYNC110 - the door tells nobody
                await asyncio.sleep(0.01)


async def test_a_thousand_silent_connections_keep_no_sender_out() -> None:
    async with opened(limits=DoorLimits(artim_seconds=60)) as at:
        silent = [await at.connect() for _ in range(1000)]
        association = await at.associate()
        assert await echo(association) == status.SUCCESS
        assert at.door.connection_count <= MOST_UNASSOCIATED + 1
        await association.release()
        for _, writer in silent:
            writer.close()


async def test_idle_associations_give_way_to_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_svc.dimse.door.GIVES_WAY_AFTER_SECONDS", 0.3)
    async with opened(limits=DoorLimits(max_associations=5)) as at:
        idle = [await at.associate(f"IDLE{number}") for number in range(5)]
        with pytest.raises(Overloaded, match="as many associations as it takes"):
            await at.associate()  # none is idle for long enough yet
        await asyncio.sleep(0.3)
        await echo(idle[0])
        association = await at.associate()
        assert await echo(association) == status.SUCCESS
        assert await echo(idle[0]) == status.SUCCESS, "the one that was busy stays"
        assert at.door.association_count == 5
        for one in [association, *idle]:
            await one.release()


async def test_an_idle_association_is_aborted_after_its_time() -> None:
    async with opened(limits=DoorLimits(idle_seconds=0.5)) as at:
        association = await at.associate()
        with pytest.raises(Exception, match="aborted"):
            async with asyncio.timeout(5):
                await association.receive()


@pytest.mark.parametrize("piece", [b"\x04", HEADER.pack(PduType.P_DATA_TF, 2000) + b"\0"])
async def test_a_sender_of_a_byte_a_second_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr("gateway_svc.dimse.connection.SLOW_AFTER_SECONDS", 1.0)
    async with opened() as at:
        association = await at.associate("SLOW")
        association.stream.write((piece,))

        async def trickle() -> None:
            while association.is_open:
                await asyncio.sleep(0.2)
                association.stream.write((b"\0",))

        other = await at.associate()
        trickling = asyncio.create_task(trickle())
        with pytest.raises(Exception, match=r"aborted|cut"):
            async with asyncio.timeout(8):
                await association.receive()
        await trickling
        assert await echo(other) == status.SUCCESS
        await other.release()


PEERS = (
    Peer(ae_title="CT", hosts=("127.0.0.1",), may=frozenset({"echo", "store"})),
    Peer(ae_title="MR", hosts=("192.0.2.7", "198.51.100.0/24")),
    Peer(ae_title="PACS", hosts=("localhost",), tls=True),
    Peer(ae_title="STORER", may=frozenset({"store"})),
)


@pytest.mark.parametrize(
    ("calling", "called", "told", "why"),
    [
        ("XX", "IMAGING", "does not know our AE title", "not in gateway.peers"),
        ("MR", "IMAGING", "does not know our AE title", "a host that is not its own"),
        ("PACS", "IMAGING", "does not know our AE title", "must speak TLS"),
        ("CT", "OTHER", "not the AE that was called", "called AE title is not"),
        ("%s%n\x1b[31m", "IMAGING", "does not know our AE title", "not in gateway.peers"),
    ],
)
async def test_who_may_not_call_is_rejected_with_the_reason(
    calling: str, called: str, told: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(peers=PEERS, is_open=False) as at:
        with pytest.raises(FailedPrecondition, match=told):
            await at.associate(calling, called)
        ((title, host, reason),) = at.refused
        assert (title, host) == (calling, "127.0.0.1")
        assert why in reason
        (record,) = [record for record in caplog.records if "rejected" in record.message]
        assert record.__dict__["why"] == reason


async def test_a_known_caller_gets_what_it_may_ask_for() -> None:
    async with opened(peers=PEERS, is_open=False) as at:
        association = await at.associate("CT")
        assert await echo(association) == status.SUCCESS
        await association.release()
        association = await at.associate("STORER")
        assert not association.contexts
        await association.release()


async def test_draining_ends_idle_associations_and_waits_for_the_others() -> None:
    async with opened() as at:
        idle, busy = await at.associate("IDLE"), await at.associate("BUSY")
        busy.stream.write((HEADER.pack(PduType.P_DATA_TF, 50),))  # in the middle of something
        draining = asyncio.create_task(at.door.drain(timedelta(seconds=3)))
        with pytest.raises(Exception, match="aborted"):
            async with asyncio.timeout(2.5):
                await idle.receive()
        assert busy.is_open
        with pytest.raises(Exception, match=r"aborted|cut"):
            async with asyncio.timeout(5):
                await busy.receive()
        await draining
