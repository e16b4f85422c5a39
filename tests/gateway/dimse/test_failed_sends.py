"""What a destination has not taken: listed, tried again by itself and by hand, over a restart, and nothing twice."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway_svc.schema import TABLES
from gateway_svc.sending.failed_sends import FailedSends, failed_send_name
from imaging.cli.exit_codes import ExitCode
from imaging.client.destinations import AsyncDestinations, FailedSend
from imaging.client.storage_admin import AsyncStorageAdmin
from imaging.database import Database
from imaging.errors import FailedPrecondition, InvalidArgument, Overloaded, Unavailable
from imaging.rpc.channel import open_channel
from imaging.work.try_again import TryAgain
from tests.database.databases import Databases
from tests.gateway.dimse.archive import free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.storage_scp import CT, Received, storage_scp
from tests.gateway.dimse.test_c_find import keep
from tests.gateway.dimse.test_sending import destinations_of, sent
from tests.storage.storage_under_test import ct

PACS = "destinations/pacs"
REFUSED = FailedPrecondition("The peer has not stored the instance: status 0xc000")
AWAY = Unavailable("The AE does not answer")


def pacs(port: int) -> dict[str, Any]:
    return {"pacs": {"ae_title": "PACS", "address": f"127.0.0.1:{port}"}}


async def until_none_is_left(destinations: AsyncDestinations) -> None:
    for _ in range(600):
        if not await destinations.failed():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("something is left in the list")


async def test_what_was_refused_waits_for_a_person_over_a_restart_and_leaves_when_it_is_sent(start: Start) -> None:
    port = free_port()
    with storage_scp(port, Received(answer=0xC000), CT):
        async with start(gateway__destinations=pacs(port)) as archive, destinations_of(archive) as destinations:
            await keep(archive, ct(), ct(sop="1.2.3.1.2"))
            end = await sent(destinations, "pacs", ["studies/1.2.3"])
            assert (end.sent_count, len(end.not_sent)) == (0, 2)
    received = Received()
    async with start(gateway__destinations=pacs(port)) as archive, destinations_of(archive) as destinations:
        listed = await destinations.failed("pacs")
        assert {one.instance.rpartition("/")[2] for one in listed} == {"1.2.3.1.1", "1.2.3.1.2"}
        assert all(one.attempts == 1 and one.next_try is None and "0xc000" in one.error.text for one in listed)
        assert await destinations.failed("other") == ()
        with storage_scp(port, received, CT):
            assert await destinations.retry(listed[0]) is None
            assert await destinations.retry(listed[0]) is None  # it was sent already: not once more
            assert received.times == 1
            assert [one.name for one in await destinations.failed()] == [listed[1].name]
            # Sent by another request, it leaves the list too.
            assert (await sent(destinations, "pacs", ["studies/1.2.3"])).sent_count == 2
        assert await destinations.failed() == ()
        with pytest.raises(InvalidArgument):
            await destinations.retry("studies/1.2.3")


async def test_a_destination_that_comes_back_gets_by_itself_what_it_missed(start: Start) -> None:
    """Full at first: so the sending ends at once after its tries, and the rest is left to the gateway."""
    port, received = free_port(), Received(answer=0xA700)
    own = {"gateway__destinations": pacs(port), "gateway__send_again_seconds": 0.2}
    async with start(**own) as archive, destinations_of(archive) as destinations:
        await keep(archive, ct())
        with storage_scp(port, received, CT):
            end = await sent(destinations, "pacs", ["studies/1.2.3"])
            assert len(end.not_sent) == 1
            (waiting,) = await destinations.failed()
            assert waiting.next_try is not None
            received.answer = 0
            await until_none_is_left(destinations)


async def test_what_was_deleted_meanwhile_is_told_and_can_be_dropped(start: Start) -> None:
    port = free_port()
    async with start(gateway__destinations=pacs(port)) as archive, destinations_of(archive) as destinations:
        await keep(archive, ct())
        with storage_scp(port, Received(answer=0xC000), CT):
            await sent(destinations, "pacs", ["studies/1.2.3"])
        async with open_channel(archive.settings.storage.address) as channel:
            await AsyncStorageAdmin(channel).delete("studies/1.2.3")
        (failed,) = await destinations.failed()
        still = await destinations.retry(failed)
        assert isinstance(still, FailedSend)
        assert (still.attempts, still.error.reason, still.next_try) == (2, "NOT_FOUND", None)
        await destinations.drop(failed)
        await destinations.drop(failed)
        assert await destinations.failed() == ()


async def test_the_command_lists_retries_and_drops(start: Start, tmp_path: Path) -> None:
    port = free_port()
    async with start(gateway__destinations=pacs(port)) as archive, destinations_of(archive) as destinations:
        await keep(archive, ct(), ct(sop="1.2.3.1.2"))
        settings = tmp_path / "imaging.toml"
        settings.write_text(f'[gateway]\naddress = "{archive.settings.gateway.address}"\n')

        async def imaging(*arguments: str) -> tuple[int | None, list[dict[str, Any]]]:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "imaging", "destinations", *arguments, "--json", "--config", str(settings)),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await asyncio.wait_for(process.communicate(), 60)
            return process.returncode, [json.loads(line) for line in said.splitlines()]

        received = Received(answer=0xC000)
        with storage_scp(port, received, CT):
            await sent(destinations, "pacs", ["studies/1.2.3"])
            code, listed = await imaging("failed", "pacs")
            assert (code, len(listed)) == (ExitCode.OK, 2)
            code, lines = await imaging("retry", listed[0]["failed_send"])
            assert (code, lines[-1]["summary"]) == (ExitCode.SOME_FAILED, {"sent": 0, "failed": 1})
            received.answer = 0
            assert (await imaging("drop", listed[1]["failed_send"]))[0] == ExitCode.OK
            code, lines = await imaging("retry", "all")
            assert (code, lines[-1]["summary"]) == (ExitCode.OK, {"sent": 1, "failed": 0})
        assert (await imaging("failed")) == (ExitCode.OK, [])


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_waits_grow_until_a_failed_send_is_given_up(databases: Databases, tmp_path: Path) -> None:
    clock = Clock()
    again = TryAgain(timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=30))
    database = Database.open(databases.access(tmp_path), TABLES)
    failed = FailedSends(database, again, clock)
    await failed.record(PACS, (), {"a": AWAY, "b": Overloaded("full"), "c": REFUSED}, run="runs/1", stage="5-pacs")
    waits: list[float] = []
    while (told := await failed.get(failed_send_name(PACS, "a"))) and told.HasField("next_try_time"):
        following = told.next_try_time.ToDatetime(UTC)
        waits.append((following - clock.now) / timedelta(minutes=1))
        clock.now = following - timedelta(seconds=1)
        assert await failed.take_due(PACS, timedelta(minutes=1), 50) == []
        clock.now = following
        assert await failed.due_destinations() == [PACS]
        due = await failed.take_due(PACS, timedelta(minutes=1), 50)
        assert sorted(one.instance for one in due) == ["a", "b"]
        assert await failed.due_destinations() == []  # another replica keeps off
        assert await failed.take_due(PACS, timedelta(minutes=1), 50) == []
        await failed.release([one.name for one in due])  # this one ends
        assert len(await failed.take_due(PACS, timedelta(minutes=1), 50)) == 2
        await failed.record(PACS, (), {"a": AWAY, "b": AWAY}, is_again=True)
    assert waits == [1, 2, 4, 8, 10]
    assert told is not None
    assert (told.attempts, told.run, told.stage) == (6, "runs/1", "5-pacs")
    # A new request begins anew; one that was dropped while it was tried stays dropped.
    await failed.record(PACS, (), {"a": AWAY})
    begun_anew = await failed.get(failed_send_name(PACS, "a"))
    assert begun_anew is not None
    assert begun_anew.HasField("next_try_time")
    await failed.drop(failed_send_name(PACS, "a"))
    await failed.record(PACS, (), {"a": AWAY}, is_again=True)
    assert await failed.get(failed_send_name(PACS, "a")) is None
    await database.close()


async def test_two_replicas_may_record_the_same(databases: Databases, tmp_path: Path) -> None:
    if databases.server is None:
        pytest.skip("SQLite is open in one process")
    replicas = [Database.open(databases.access(tmp_path), TABLES) for _ in range(2)]
    names = [f"instance-{number:04}" for number in range(1000)]
    await asyncio.gather(*(FailedSends(one).record(PACS, (), dict.fromkeys(names, AWAY)) for one in replicas))
    listed, _ = await FailedSends(replicas[0]).page(PACS, 1000, "")
    assert sorted(one.instance for one in listed) == names
    for database in replicas:
        await database.close()


async def test_who_is_at_a_failed_send_has_it_alone_for_as_long_as_it_says_so(
    databases: Databases, tmp_path: Path
) -> None:
    clock, minute = Clock(), timedelta(minutes=1)
    database = Database.open(databases.access(tmp_path), TABLES)
    failed = FailedSends(database, now=clock)
    await failed.record(PACS, (), {"a": AWAY, "given-up": REFUSED})
    name, given_up = failed_send_name(PACS, "a"), failed_send_name(PACS, "given-up")
    assert await failed.take(name, 2 * minute) is not None  # not due yet, but a person wants it
    assert await failed.take(given_up, 2 * minute) is not None
    for _ in range(3):
        clock.now += 1.5 * minute
        await failed.keep_busy([name], 2 * minute)
        assert await failed.take(name, 2 * minute) is None
        assert await failed.take_due(PACS, 2 * minute, 50) == []
    assert await failed.take(given_up, 2 * minute) is not None  # who was at it has died
    await failed.release([given_up])
    still = await failed.get(given_up)
    assert still is not None
    assert not still.HasField("next_try_time")
    # What was tried and written down is not busy any more, and does not become so.
    await failed.record(PACS, (), {"a": AWAY}, is_again=True)
    await failed.keep_busy([name], 2 * minute)
    assert await failed.take(name, 2 * minute) is not None
    await database.close()


async def test_pages_give_every_failed_send_once(databases: Databases, tmp_path: Path) -> None:
    database = Database.open(databases.access(tmp_path), TABLES)
    failed = FailedSends(database)
    await failed.record(PACS, (), {f"instance-{number:04}": REFUSED for number in range(1200)})
    await failed.record("destinations/other", (), {"instance-0001": REFUSED})
    found, token = [], ""
    while True:
        page, token = await failed.page(PACS, 500, token)
        found += [one.instance for one in page]
        if not token:
            break
    assert found == [f"instance-{number:04}" for number in reversed(range(1200))]
    await failed.record(PACS, set(found), {})
    assert [one.destination for one in (await failed.page("", 0, ""))[0]] == ["destinations/other"]
    await database.close()
