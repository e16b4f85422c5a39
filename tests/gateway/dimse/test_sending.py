"""Sending to other systems: a PACS by C-STORE, a web server by STOW-RS, both real ones."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.sop_class import CTImageStorage, Verification

from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.sending.send_instances import instances_of, send_instances
from imaging.cli.exit_codes import ExitCode
from imaging.client.destinations import AsyncDestinations, Sending
from imaging.client.patience import Patience
from imaging.client.storage import StorageClient
from imaging.errors import FailedPrecondition, ImagingError, InvalidArgument, NotFound, Unavailable
from imaging.rpc.channel import open_channel
from imaging.settings.gateway import Destination
from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceStub
from tests.gateway.dimse.archive import Archive, data_set_of, free_port
from tests.gateway.dimse.storage_scp import CT, Received, storage_scp
from tests.gateway.dimse.test_c_find import keep
from tests.installation.in_process import services_in_process
from tests.storage.storage_under_test import ct


@asynccontextmanager
async def archive(data_dir: Path, **destinations: dict[str, str]) -> AsyncIterator[Archive]:
    own = {"gateway.dimse_acceptors": 1, "storage.quiet_time_seconds": 3600, "gateway.destinations": destinations}
    async with (
        services_in_process(data_dir, "storage", "gateway", overrides=own) as settings,
        open_channel(settings.storage.address) as channel,
    ):
        client = StorageClient(channel)
        yield Archive(client, settings)
        await client.close()


@asynccontextmanager
async def destinations_of(sender: Archive) -> AsyncIterator[AsyncDestinations]:
    async with open_channel(sender.settings.gateway.address) as channel:
        yield AsyncDestinations(channel)


@asynccontextmanager
async def two_archives(folder: Path) -> AsyncIterator[tuple[Archive, Archive]]:
    """A sender, and a receiver that it knows as `pacs` and as `web`."""
    async with archive(folder / "receiver") as receiver:
        gateway = receiver.settings.gateway
        pacs = {"ae_title": "PACS", "address": gateway.dimse_address}
        web = {"url": f"http://{gateway.http_address}/dicom-web"}
        async with archive(folder / "sender", pacs=pacs, web=web) as sender:
            yield sender, receiver


async def sent(destinations: AsyncDestinations, name: str, names: Sequence[str]) -> Sending:
    """The end of a sending, whose steps only grow."""
    done = 0
    async for step in destinations.send(name, names):
        assert step.done >= done
        done = step.done
    assert step.has_ended
    return step


async def test_a_study_goes_to_another_archive_by_either_way(tmp_path: Path) -> None:
    async with two_archives(tmp_path) as (sender, receiver), destinations_of(sender) as destinations:
        for name, study in (("pacs", "1.2.3"), ("web", "1.2.4")):
            kept = {f"{study}.1.{n}": ct(study, f"{study}.1", f"{study}.1.{n}") for n in range(7)}
            await keep(sender, *kept.values())
            assert (await destinations.echo(name)).error is None
            end = await sent(destinations, name, [f"studies/{study}", f"studies/{study}/series/{study}.1"])
            assert (end.sent_count, end.not_sent) == (7, ())
            assert end.sent_bytes == sum(map(len, kept.values()))
            there = await receiver.objects(f"studies/{study}")
            assert {uid: data_set_of(content) for uid, content in there.items()} == {
                uid: data_set_of(content) for uid, content in kept.items()
            }


async def test_what_is_refused_is_told_and_the_others_are_sent(tmp_path: Path) -> None:
    """The receiver has another image under one of the UIDs: it refuses that one by either way."""
    async with two_archives(tmp_path) as (sender, receiver), destinations_of(sender) as destinations:
        for name, study in (("pacs", "1.2.3"), ("web", "1.2.4")):
            await keep(receiver, ct(study, f"{study}.1", f"{study}.1.1", pixels=b"\1" * 32768))
            await keep(sender, *(ct(study, f"{study}.1", f"{study}.1.{n}") for n in range(3)))
            end = await sent(destinations, name, [f"studies/{study}"])
            assert end.sent_count == 2
            (refused,) = end.not_sent
            assert refused.instance == f"studies/{study}/series/{study}.1/instances/{study}.1.1"
            assert isinstance(refused.error, FailedPrecondition)
            assert "0x0111" in refused.error.what


async def test_a_destination_that_is_away_is_told(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    async with (
        archive(tmp_path, pacs={"ae_title": "PACS", "address": away}, web={"url": f"http://{away}/x"}) as sender,
        destinations_of(sender) as destinations,
    ):
        await keep(sender, ct())
        for name in ("pacs", "web"):
            answer = await destinations.echo(name)
            assert isinstance(answer.error, Unavailable)
        with pytest.raises(NotFound, match="destinations/pacs"):
            await destinations.echo("nowhere")
        with pytest.raises(NotFound):
            await sent(destinations, "pacs", ["studies/9.9"])
        with pytest.raises(InvalidArgument):
            await sent(destinations, "pacs", [])


async def test_the_command_lists_asks_and_sends(tmp_path: Path) -> None:
    port, received = free_port(), Received()
    pacs = {"ae_title": "PACS", "address": f"127.0.0.1:{port}", "description": "Research"}
    async with archive(tmp_path / "data", pacs=pacs) as sender:
        await keep(sender, ct(), ct(sop="1.2.3.1.2"))
        settings = tmp_path / "imaging.toml"
        settings.write_text(
            f'[storage]\naddress = "{sender.settings.storage.address}"\n'
            f'[gateway]\naddress = "{sender.settings.gateway.address}"\n'
        )

        async def imaging(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "imaging", "destinations", *arguments, "--json", "--config", str(settings)),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode is not None
            return process.returncode, [json.loads(line) for line in said.splitlines()]

        code, (listed,) = await imaging("list")
        assert (code, listed["name"], listed["ae_title"]) == (ExitCode.OK, "destinations/pacs", "PACS")
        assert (await imaging("echo", "pacs"))[0] == ExitCode.UNAVAILABLE
        with storage_scp(port, received, [*CT, (Verification, [ExplicitVRLittleEndian])]):
            code, (answer,) = await imaging("echo", "pacs")
            assert (code, answer["destination"]) == (ExitCode.OK, "pacs")
            code, lines = await imaging("send", "pacs", "studies/1.2.3")
            assert (code, lines[-1]["summary"]["sent"]) == (ExitCode.OK, 2)
            received.answer = 0xC000
            code, lines = await imaging("send", "pacs", "studies/1.2.3")
        assert (code, lines[-1]["summary"]["failed"]) == (ExitCode.SOME_FAILED, 2)
        assert {line["instance"].rpartition("/")[2] for line in lines if "instance" in line} == {
            "1.2.3.1.1",
            "1.2.3.1.2",
        }


async def test_the_same_request_is_sent_once(tmp_path: Path) -> None:
    port, received = free_port(), Received()
    async with (
        archive(tmp_path, pacs={"ae_title": "PACS", "address": f"127.0.0.1:{port}"}) as sender,
        destinations_of(sender) as destinations,
    ):
        await keep(sender, ct())
        with storage_scp(port, received, [*CT, (Verification, [ExplicitVRLittleEndian])]):
            for _ in range(2):
                steps = [step async for step in destinations.send("pacs", ["studies/1.2.3"], request_id="once")]
                assert steps[-1].sent_count == 1
    assert received.times == 1


async def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    """A PACS that is full for the first time of each instance, and one that stays full."""
    port = free_port()
    patience = Patience(first_delay=timedelta(milliseconds=10), give_up_after=timedelta(seconds=5))
    destination = Destination(ae_title="PACS", address=f"127.0.0.1:{port}")
    async with archive(tmp_path) as sender, open_channel(sender.settings.storage.address) as channel:
        await keep(sender, *(ct(sop=f"1.2.3.1.{n}") for n in range(4)))
        stub = StorageServiceStub(channel)

        async def send(received: Received) -> tuple[int, list[str]]:
            failures: list[str] = []

            def on_outcome(item: Wanted, error: ImagingError | None) -> None:
                if error is not None:
                    failures.append(error.text)

            wanted = await instances_of(stub, ["studies/1.2.3"])
            with storage_scp(port, received, [(CTImageStorage, [ExplicitVRLittleEndian])]):
                await send_instances(stub, destination, sender.settings, wanted, on_outcome, patience)
            return len(wanted) - len(failures), failures

        assert await send(Received(full_for=4)) == (4, [])
        assert await send(Received(abort_at=3)) == (4, [])  # what was under way is sent again with the rest
        count, failures = await send(Received(answer=0xA700))
        assert count == 0
        assert len(failures) == 4
        assert all("0xa700" in failure for failure in failures)
