"""Decisions at the same time as others, as corrections and as deletions: one wins, and nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from imaging.errors import ImagingError
from tests.storage.decisions import STUDY, accept, audited, restore
from tests.storage.kept_objects import INSTANCE, OTHER_PIXELS, content_of, quarantined, served, versions
from tests.storage.storage_under_test import Storage, ct


async def outcomes(*decisions: Any) -> list[str]:
    found = await asyncio.gather(*decisions, return_exceptions=True)
    for outcome in found:
        assert not isinstance(outcome, BaseException) or isinstance(outcome, ImagingError), outcome
    return sorted(type(outcome).__name__ for outcome in found)


async def test_of_two_people_who_decide_at_the_same_time_one_wins(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{number}") for number in range(12)))
    for number in range(12):
        await storage.store(ct(sop=f"1.2.3.1.{number}", pixels=OTHER_PIXELS))
    accepted = 0
    for item in await quarantined(storage):
        discarding = (storage.admin("DiscardQuarantinedInstance", name=item.name) for _ in range(2))
        found = await outcomes(accept(storage, item.name), *discarding, accept(storage, item.name))
        assert found.count("FailedPrecondition") == 2
        is_accepted = found.count("Instance") == 2
        assert is_accepted or found.count("DiscardQuarantinedInstanceResponse") == 2
        assert await served(storage, item.claimed_instance) == (
            ct(sop=item.claimed_instance.rpartition("/")[2], **({"pixels": OTHER_PIXELS} if is_accepted else {}))
        )
        accepted += is_accepted
    assert len(storage.objects()) == 12 + accepted
    assert len(await audited(storage)) == 12
    await storage.service.sweeper.remove_orphans(timedelta(0))
    assert (await storage.admin("VerifyObjects"))[-1].objects_done == 12 + accepted


async def test_decisions_beside_corrections_and_deletions_leave_every_version_with_a_number_of_its_own(
    storage: Storage,
) -> None:
    await storage.store_one(ct())
    for number in range(6):
        await storage.store(ct(pixels=bytes([number]) * len(OTHER_PIXELS)))
    names = [item.name for item in await quarantined(storage)]

    async def correct() -> None:
        for number in range(6):
            await storage.store(ct(PatientName=f"Corrected{number}"))

    async def go_back() -> None:
        for _ in range(6):
            await outcomes(restore(storage, 1))

    async def delete_and_restore() -> None:
        for method in ("DeleteInstance", "RestoreInstance") * 4:
            await storage.call(method, name=INSTANCE)

    await asyncio.gather(
        *(outcomes(accept(storage, name)) for name in names), correct(), go_back(), delete_and_restore()
    )
    found = await versions(storage)
    numbers = [item.object.version for item in found]
    assert len(set(numbers)) == len(numbers)
    assert sum(item.object.served for item in found) == 1
    (current,) = (item for item in found if item.object.served)
    assert await served(storage) == await content_of(storage, current.name)
    for item in found:
        assert (await restore(storage, item.object.version)).version == item.object.version
        assert await served(storage) == await content_of(storage, item.name)
    study = (await storage.call("GetStudy", name=STUDY)).study
    assert (study.instance_count, study.size_bytes) == (1, len(await served(storage)))
