"""Two storage services on one PostgreSQL database and one object store: as if they were one."""

from __future__ import annotations

import asyncio
import threading
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from imaging.errors import FailedPrecondition, StaleAttempt, Unavailable
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_pb2
from storage_svc.ingest.origin import DERIVED, OriginOf
from storage_svc.schema import CHANGE, INSTANCE, KEPT_OBJECT, QUARANTINE, SERIES, STUDY, UPLOAD
from tests.storage.storage_under_test import Storage, chunks, ct, whole
from tests.storage.test_store_instances import large

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)

STORED = storage_pb2.STORE_OUTCOME_STORED
ALREADY_STORED = storage_pb2.STORE_OUTCOME_ALREADY_STORED
COMPLETED = storage_pb2.Change.KIND_STUDY_COMPLETED


@pytest.fixture
async def both(start: Any) -> tuple[Storage, Storage]:
    return await start(), await start()


async def count(storage: Storage, table: Any) -> int:
    return await storage.service._database.read(
        lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()
    )


async def assert_all_counts_agree(storage: Storage) -> None:
    """Counters of studies and series are those of their instances; revisions have no gap."""

    def look(connection: Connection) -> None:
        live = INSTANCE.c.purge_time.is_(None)
        for table, keys in ((STUDY, ["study_instance_uid"]), (SERIES, ["study_instance_uid", "series_instance_uid"])):
            told = {
                tuple(row[key] for key in keys): (row["instance_count"], row["size_bytes"])
                for row in connection.execute(select(table)).mappings()
            }
            columns = [INSTANCE.c[key] for key in keys]
            counted = connection.execute(
                select(*columns, func.count(), func.sum(INSTANCE.c.size_bytes)).where(live).group_by(*columns)
            )
            assert told == {tuple(row[: len(keys)]): (row[-2], row[-1]) for row in counted}
        revisions = connection.execute(select(CHANGE.c.revision).order_by(CHANGE.c.revision)).scalars().all()
        assert list(revisions) == list(range(1, len(revisions) + 1))

    await storage.service._database.read(look)


async def test_64_writers_on_one_study_make_one_study_with_right_counts(both: tuple[Storage, Storage]) -> None:
    async def write(writer: int) -> None:
        storage, series = both[writer % 2], f"1.2.3.{writer % 5}"
        for number in range(4):
            stored = await storage.store_one(ct(series=series, sop=f"1.2.3.{writer}.{number}"))
            assert stored.outcome == STORED

    async with asyncio.timeout(60):
        await asyncio.gather(*(write(writer) for writer in range(64)))
    for storage in both:
        study = (await storage.call("GetStudy", name="studies/1.2.3")).study
        assert (study.instance_count, study.series_count) == (256, 5)
    assert [await count(both[0], table) for table in (STUDY, SERIES, INSTANCE, KEPT_OBJECT)] == [1, 5, 256, 256]
    await assert_all_counts_agree(both[0])


async def test_writers_on_many_studies_in_opposite_orders_wait_for_each_other_in_vain_at_no_time(
    both: tuple[Storage, Storage],
) -> None:
    studies = [f"1.2.{number}" for number in range(12)]

    async def write(writer: int) -> None:
        order = studies if writer % 2 else studies[::-1]
        for number, study in enumerate(order):
            content = ct(study=study, series=f"{study}.1", sop=f"{study}.{writer}.{number}")
            assert (await both[writer % 2].store_one(content)).outcome == STORED
            if writer % 8 == 0:
                with suppress(FailedPrecondition):  # others may be sending to it
                    await both[writer % 2].complete(study)

    async with asyncio.timeout(60):
        await asyncio.gather(*(write(writer) for writer in range(24)))
    assert [await count(both[0], table) for table in (STUDY, INSTANCE)] == [12, 24 * 12]
    await assert_all_counts_agree(both[0])


async def test_the_same_instance_at_both_is_stored_once_and_known_to_the_other(both: tuple[Storage, Storage]) -> None:
    for number in range(20):
        content = ct(sop=f"1.2.3.1.{number}")
        outcomes = await asyncio.gather(*(storage.store_one(content) for storage in both * 2))
        assert sorted(stored.outcome for stored in outcomes) == sorted([STORED, *[ALREADY_STORED] * 3])
    assert [await count(both[0], table) for table in (INSTANCE, KEPT_OBJECT)] == [20, 20]
    await assert_all_counts_agree(both[0])
    await both[0].service.sweeper.remove_orphans(timedelta(0))
    objects = list((both[0].folder / "storage" / "objects" / "studies").rglob("*.dcm"))
    assert len(objects) == 20


async def test_other_pixels_under_the_same_uid_at_both_are_kept_once_and_quarantined_once(
    both: tuple[Storage, Storage],
) -> None:
    for number in range(10):
        contents = [ct(sop=f"1.2.3.1.{number}", pixels=bytes([fill]) * 128 * 128 * 2) for fill in (1, 2)]
        answers = [
            answer
            for answers in await asyncio.gather(
                *(both[which % 2].store(contents[which // 2]) for which in range(4))  # each content at both
            )
            for answer in answers
        ]
        refused = [from_status(answer.rejected) for answer in answers if answer.HasField("rejected")]
        assert [type(error).__name__ for error in refused] == ["Conflict"] * 2
        assert {answer.stored.outcome for answer in answers if answer.HasField("stored")} == {STORED, ALREADY_STORED}
    assert [await count(both[0], table) for table in (INSTANCE, QUARANTINE, KEPT_OBJECT)] == [10, 10, 20]
    await assert_all_counts_agree(both[0])


async def test_one_uid_in_two_studies_at_both_leaves_no_empty_study_behind(both: tuple[Storage, Storage]) -> None:
    for number in range(10):
        contents = [ct(study=f"1.2.{which}.{number}", sop=f"1.2.3.1.{number}") for which in (1, 2)]
        answers = await asyncio.gather(*(both[which].store(contents[which]) for which in (0, 1)))
        assert sorted(answer.WhichOneof("outcome") or "" for (answer,) in answers) == ["rejected", "stored"]
    assert [await count(both[0], table) for table in (STUDY, INSTANCE, QUARANTINE)] == [10, 10, 10]
    await assert_all_counts_agree(both[0])


async def test_completing_at_both_gives_one_version(both: tuple[Storage, Storage]) -> None:
    for number in range(10):
        await both[number % 2].store_one(ct(sop=f"1.2.3.1.{number}"))
        manifests = await asyncio.gather(*(storage.complete("1.2.3") for storage in both * 4))
        assert {manifest.version for manifest in manifests} == {number + 1}
        assert {manifest.instance_count for manifest in manifests} == {number + 1}
    changes = await both[1].changes(count=10, kinds=[COMPLETED])
    assert [change.manifest_version for change in changes] == list(range(1, 11))


async def test_a_quiet_study_is_completed_by_one_of_them(start: Any) -> None:
    both = [await start(quiet_time_seconds=0.2) for _ in range(2)]
    for number in range(8):
        study = f"1.2.{number}"
        await both[number % 2].store_one(ct(study=study, series=f"{study}.1", sop=f"{study}.1.1"))
    changes = await both[0].changes(count=8, kinds=[COMPLETED])
    assert sorted(change.name for change in changes) == [f"studies/1.2.{number}" for number in range(8)]
    assert {change.manifest_version for change in changes} == {1}


async def test_an_open_upload_at_one_holds_the_quiet_time_at_the_other(start: Any) -> None:
    both = [await start(quiet_time_seconds=0.6) for _ in range(2)]
    finish = asyncio.Event()
    messages = chunks("a", ct(sop="1.2.3.1.2"))

    async def slow() -> Any:
        for message in messages[:-1]:
            yield message
        await finish.wait()
        yield messages[-1]

    call = both[0].stub.StoreInstances(slow())
    while "1.2.3" not in both[0].service._completion._open_uploads:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)
    await both[1].store_one(ct(sop="1.2.3.1.1"))
    await asyncio.sleep(1.5)  # the quiet time, and as long again
    assert (await both[1].call("GetStudy", name="studies/1.2.3")).study.manifest.version == 0
    finish.set()
    assert [answer.WhichOneof("outcome") async for answer in call] == ["stored"]
    (change,) = await both[1].changes(count=1, kinds=[COMPLETED])
    assert change.manifest_version == 1
    assert (await both[1].call("GetStudy", name="studies/1.2.3")).study.manifest.instance_count == 2


async def test_a_large_upload_broken_off_at_one_forbids_completion_at_the_other_and_goes_on_there(
    both: tuple[Storage, Storage],
) -> None:
    content = large(20)
    upload_id = str(uuid.uuid4())
    await both[1].store_one(ct(sop="1.2.3.1.2"))
    await both[0].send(chunks(upload_id, content)[:14])
    with pytest.raises(FailedPrecondition, match="Uploads of the study are open"):
        await both[1].complete("1.2.3")
    first = await both[1].send(chunks(upload_id, content)[:1])
    start = first[0].ready.persisted_size_bytes
    assert 0 < start < len(content), "the folder is the same: what came there is used here"
    answers = await both[1].send(chunks(upload_id, content, start=start))
    assert [answer.stored.outcome for answer in answers if answer.HasField("stored")] == [STORED]
    assert (await both[0].complete("1.2.3")).instance_count == 2


async def test_a_large_upload_that_is_taken_up_again_at_one_holds_its_study_at_the_other(
    both: tuple[Storage, Storage],
) -> None:
    messages, going_on = chunks(str(uuid.uuid4()), large(20)), asyncio.Event()
    await both[1].store_one(ct(sop="1.2.3.1.2"))
    await both[0].send(messages[:14])
    await both[0].service._database.write(lambda c: c.execute(update(UPLOAD).values(update_time=0)))
    assert (await both[1].complete("1.2.3")).version == 1, "nobody is waited for that long"

    async def resumed() -> Any:
        yield messages[0]
        await going_on.wait()

    call = both[0].stub.StoreInstances(resumed())
    assert (await call.read()).ready.persisted_size_bytes
    with pytest.raises(FailedPrecondition, match="Uploads of the study are open"):
        await both[1].complete("1.2.3")
    assert await both[1].service.sweeper._spool.sweep(timedelta(hours=1)) == 0
    going_on.set()
    assert [answer.WhichOneof("outcome") async for answer in call] == ["rejected"]


async def test_an_upload_that_one_of_them_receives_is_refused_by_the_other_until_it_is_broken_off(
    both: tuple[Storage, Storage],
) -> None:
    """Two on one file would cut it short under each other."""
    content = large(20)
    upload_id = str(uuid.uuid4())
    messages = chunks(upload_id, content)
    received = asyncio.Event()

    async def never_ending() -> Any:
        for message in messages[:-1]:
            yield message
        received.set()
        await asyncio.Event().wait()

    call = both[0].stub.StoreInstances(never_ending())
    await received.wait()
    *_, answer = await both[1].send(messages)
    refused = from_status(answer.rejected)
    assert isinstance(refused, Unavailable)
    assert "goes on elsewhere" in refused.what
    call.cancel()
    async with asyncio.timeout(20):
        while not answer.HasField("stored"):
            *_, answer = await both[1].send(messages)
    messages_back = await both[1].stream("RetrieveInstances", name=answer.stored.instance.name)
    assert b"".join(message.data.content for message in messages_back) == content


async def test_an_attempt_that_was_overtaken_at_the_other_stores_nothing_more(both: tuple[Storage, Storage]) -> None:
    def origin(attempt: int) -> storage_pb2.Origin:
        return storage_pb2.Origin(kind=storage_pb2.Origin.KIND_DERIVED, run="runs/1", stage="s", attempt=attempt)

    await both[0].store_one(ct(sop="1.2.3.1.1"), origin=origin(1))
    await both[1].store_one(ct(sop="1.2.3.1.2"), origin=origin(2))
    with pytest.raises(StaleAttempt):
        await both[0].store_one(ct(sop="1.2.3.1.3"), origin=origin(1))


async def test_a_newer_attempt_waits_for_what_the_older_one_is_committing(both: tuple[Storage, Storage]) -> None:
    """Otherwise an older attempt could store after the newer one has looked at what is there."""
    old = OriginOf(DERIVED, "runs/1", "s", 1)
    await both[0].service._ingest._writer.begin_attempt(old)
    reached, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        from storage_svc.index.writer import _newest_attempts

        assert _newest_attempts(connection, [old]) == {("runs/1", "s"): 1}
        reached.set()
        assert go_on.wait(20)

    storing = asyncio.create_task(both[0].service._database.write(slow))
    await asyncio.to_thread(reached.wait)
    beginning = asyncio.create_task(both[1].service._ingest._writer.begin_attempt(OriginOf(DERIVED, "runs/1", "s", 2)))
    done, _ = await asyncio.wait({beginning}, timeout=0.5)
    assert not done
    go_on.set()
    await storing
    await beginning


async def test_deleting_at_one_while_the_other_stores_leaves_right_counts(both: tuple[Storage, Storage]) -> None:
    async def store(number: int) -> None:
        await both[0].store_one(ct(sop=f"1.2.3.1.{number}"))

    async def delete_and_restore() -> None:
        for method in ("DeleteStudy", "RestoreStudy") * 5:
            await both[1].call(method, name="studies/1.2.3")

    await store(0)
    await asyncio.gather(delete_and_restore(), *(store(number) for number in range(1, 30)))
    await both[1].call("RestoreStudy", name="studies/1.2.3")
    assert (await both[0].call("GetStudy", name="studies/1.2.3")).study.instance_count == 30
    await assert_all_counts_agree(both[0])


async def test_watchers_at_both_see_every_revision_once_and_in_order_while_commits_are_slow(
    both: tuple[Storage, Storage],
) -> None:
    server = both[0].service._database
    await server.write(
        lambda c: c.exec_driver_sql(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_sleep(random() * 0.02); RETURN NULL; END$$"
        )
    )
    # Runs within the COMMIT, after the revisions were taken.
    await server.write(
        lambda c: c.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON change"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slowly()"
        )
    )
    total = 120
    watching = [asyncio.create_task(storage.changes(count=total)) for storage in both * 2]

    async def write(writer: int) -> None:
        for number in range(total // 12):
            study = f"1.2.{writer}"
            await both[writer % 2].store_one(ct(study=study, series=f"{study}.1", sop=f"{study}.1.{number}"))

    await asyncio.gather(*(write(writer) for writer in range(12)))
    for seen in await asyncio.gather(*watching):
        assert [change.revision for change in seen] == list(range(1, total + 1))


async def test_all_bytes_come_back_from_the_other(both: tuple[Storage, Storage]) -> None:
    contents = {f"1.2.3.1.{number}": ct(sop=f"1.2.3.1.{number}", InstanceNumber=str(number)) for number in range(6)}
    await both[0].send(whole(uid, content) for uid, content in contents.items())
    messages = await both[1].stream("RetrieveInstances", name="studies/1.2.3")
    assert [message.data.content for message in messages] == list(contents.values())


async def test_of_two_decisions_over_one_quarantined_instance_at_both_one_stands(both: tuple[Storage, Storage]) -> None:
    await both[0].store(*(ct(sop=f"1.2.3.1.{number}") for number in range(10)))
    for number in range(10):
        await both[number % 2].store(ct(sop=f"1.2.3.1.{number}", pixels=bytes(128 * 128 * 2)))
    listed = (await both[1].admin("ListQuarantinedInstances")).quarantined_instances
    assert len(listed) == 10
    accepted = 0
    for index, item in enumerate(listed):
        one, other = (both[0], both[1]) if index % 2 else (both[1], both[0])
        found = await asyncio.gather(
            one.admin("AcceptQuarantinedInstance", name=item.name),
            other.admin("DiscardQuarantinedInstance", name=item.name),
            return_exceptions=True,
        )
        assert [isinstance(outcome, FailedPrecondition) for outcome in found].count(True) == 1
        accepted += not isinstance(found[0], FailedPrecondition)
    assert [await count(both[0], table) for table in (QUARANTINE, INSTANCE, KEPT_OBJECT)] == [0, 10, 10 + accepted]
    await assert_all_counts_agree(both[0])


async def test_instances_that_move_between_studies_at_both_are_counted_in_one(both: tuple[Storage, Storage]) -> None:
    studies = ("1.2", "1.3")
    for number in range(6):
        at = studies[number % 2]
        await both[0].store(*(ct(study, f"{study}.1", f"1.9.{number}") for study in (at, *studies)))
    listed = (await both[0].admin("ListQuarantinedInstances")).quarantined_instances
    assert len(listed) == 6

    async def move(index: int) -> None:
        storage, item = both[index % 2], listed[index]
        moved = (await storage.admin("AcceptQuarantinedInstance", name=item.name)).instance
        for version in (1, 2, 1):
            name = f"{moved.name}/versions/{version}"
            moved = (await storage.admin("RestoreInstanceVersion", name=name)).instance

    async with asyncio.timeout(60):
        await asyncio.gather(*(move(index) for index in range(6)))
    await assert_all_counts_agree(both[0])
    found = [(await both[1].call("GetStudy", name=f"studies/{study}")).study.instance_count for study in studies]
    assert found == [3, 3]
