"""Objects that are damaged behind the service's back: whatever is asked for them, wrong bytes never come."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from imaging.errors import Conflict, DataLoss, Unavailable
from imaging.storage.v1 import storage_admin_pb2, storage_pb2
from tests.storage.storage_under_test import Storage, chunks, ct, encoded

Condition = storage_admin_pb2.ObjectCondition
Kind = storage_pb2.Change.Kind
INSTANCE = "studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
FRAMES, FRAME_BYTES = 36, 512 * 512 * 2


def flip(at: int) -> Callable[[Path], None]:
    """Another bit in one byte; negative: counted from the end."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at] ^= 0x10
        path.write_bytes(content)

    return damage


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def remove(path: Path) -> None:
    path.unlink()


def multi_frame() -> bytes:
    """18 MiB of frames, each of one value."""
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.Rows = data_set.Columns = 512
    data_set.NumberOfFrames = FRAMES
    data_set.PixelData = b"".join(bytes([number, 0]) * (FRAME_BYTES // 2) for number in range(1, FRAMES + 1))
    return encoded(data_set)


async def told(storage: Storage, kind: Kind.ValueType = Kind.KIND_OBJECT_DAMAGED) -> storage_pb2.Change:
    """The change of that kind, waited for."""
    (change,) = await storage.changes(count=1, kinds=[kind])
    return change


READS: dict[str, tuple[str, dict[str, Any]]] = {
    "instances": ("RetrieveInstances", {"name": INSTANCE}),
    "rest": ("RetrieveInstances", {"name": INSTANCE, "start_offset": 300}),
    "header": ("RetrieveMetadata", {"name": INSTANCE}),
    "json": ("RetrieveMetadata", {"name": INSTANCE, "format": 2}),
    "gzip": ("RetrieveMetadata", {"name": INSTANCE, "format": 3}),
    "frames": ("RetrieveFrames", {"selections": [{"instance": INSTANCE}]}),
}
HEADER, PIXELS = 1000, -500


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "damage", [flip(HEADER), flip(PIXELS), truncate, remove], ids=["header", "pixels", "truncated", "gone"]
)
async def test_damage_ends_in_data_loss_and_is_told(storage: Storage, damage: Any, read: str) -> None:
    await storage.store_one(ct())
    damage(storage.objects()[0])
    only_header = READS[read][0] == "RetrieveMetadata"
    method, request = READS[read]
    if only_header and damage is not remove and (damage is truncate or b"pixels" in _id_of(damage)):
        await storage.stream(method, **request)  # all that it gives is right; the rest is the scrub's to find
        return
    with pytest.raises(DataLoss):
        await storage.stream(method, **request)
    change = await told(storage)
    assert change.name == f"{INSTANCE}/versions/1"
    for each, asked in READS.values():  # known by now: at once, whatever part is asked for
        with pytest.raises(DataLoss):
            await storage.stream(each, **asked)
    (found,) = (await storage.admin("ListDamagedObjects")).objects
    missing, differing = Condition.OBJECT_CONDITION_MISSING, Condition.OBJECT_CONDITION_DIFFERING
    assert found.condition == (missing if damage is remove else differing)
    assert found.served


def _id_of(damage: Any) -> bytes:
    at = damage.__closure__[0].cell_contents if damage.__closure__ else 0
    return b"pixels" if at == PIXELS else b"header"


async def test_metadata_that_are_kept_are_refused_with_the_object_that_is_known_to_be_damaged(storage: Storage) -> None:
    series, other = INSTANCE.rpartition("/instances/")[0], "studies/1.2.3/series/1.2.3.2"
    await storage.store(ct(), ct(sop="1.2.3.1.2"), ct(series="1.2.3.2", sop="1.2.3.2.1"))
    await storage.service.segments.catch_up()
    flip(PIXELS)(next(path for path in storage.objects() if path.name.startswith("1.2.3.1.1_")))
    with pytest.raises(DataLoss):
        await storage.stream("RetrieveFrames", selections=[{"instance": INSTANCE}])
    await told(storage)
    for name in (series, INSTANCE, "studies/1.2.3"):
        for form in (1, 2, 3):
            with pytest.raises(DataLoss):
                await storage.stream("RetrieveMetadata", name=name, format=form)
    for form in (1, 2, 3):
        assert await storage.stream("RetrieveMetadata", name=f"{series}/instances/1.2.3.1.2", format=form)
        assert await storage.stream("RetrieveMetadata", name=other, format=form)
    await storage.store_one(ct())
    assert await storage.stream("RetrieveMetadata", name=series, format=3)


@pytest.mark.parametrize("damage", [flip(HEADER), flip(PIXELS), truncate, remove])
async def test_nothing_is_judged_by_comparing_with_damaged_bytes(storage: Storage, damage: Any) -> None:
    await storage.store_one(ct())
    (path,) = storage.objects()
    damage(path)
    corrected = ct(PatientComments="corrected")
    with pytest.raises(Conflict, match="the one that is kept is damaged"):
        await storage.store_one(corrected)
    assert (await told(storage)).name == f"{INSTANCE}/versions/1"
    (kept,) = [found for found in storage.objects() if found != path]
    assert kept.read_bytes() == corrected  # in quarantine: nothing is lost
    assert (await storage.store_one(ct())).outcome == storage_pb2.STORE_OUTCOME_ALREADY_STORED
    assert (await storage.store_one(ct(PatientComments="later"))).outcome == storage_pb2.STORE_OUTCOME_NEW_VERSION


async def test_a_frame_of_a_large_object_is_never_wrong(storage: Storage) -> None:
    content = multi_frame()
    *_, answer = await storage.send(chunks("large", content))
    assert answer.stored.instance.number_of_frames == FRAMES
    pixels_at = len(content) - FRAMES * FRAME_BYTES

    async def frame(number: int) -> bytes:
        (message,) = await storage.stream(
            "RetrieveFrames", selections=[{"instance": INSTANCE, "frame_numbers": [number]}]
        )
        return bytes(message.data.content)

    assert await frame(20) == bytes([20, 0]) * (FRAME_BYTES // 2)
    flip(pixels_at + 29 * FRAME_BYTES + 7)(storage.objects()[0])
    assert await frame(20) == bytes([20, 0]) * (FRAME_BYTES // 2)  # its bytes are right
    with pytest.raises(DataLoss):
        await frame(30)
    assert (await told(storage)).size_bytes == len(content)
    with pytest.raises(DataLoss):
        await frame(20)


async def test_the_rest_of_a_large_object_is_not_given_wrong_either(storage: Storage) -> None:
    content = multi_frame()
    await storage.send(chunks("large", content))
    half = len(content) // 2
    messages = await storage.stream("RetrieveInstances", name=INSTANCE, start_offset=half)
    assert b"".join(message.data.content for message in messages) == content[half:]
    flip(len(content) - 3 * FRAME_BYTES)(storage.objects()[0])
    with pytest.raises(DataLoss):
        await storage.stream("RetrieveInstances", name=INSTANCE, start_offset=half)


async def test_sending_it_again_heals_and_tells(storage: Storage) -> None:
    await storage.store_one(ct())
    flip(PIXELS)(storage.objects()[0])
    with pytest.raises(DataLoss):
        await storage.stream("RetrieveFrames", selections=[{"instance": INSTANCE}])
    await told(storage)
    assert (await storage.store_one(ct())).outcome == storage_pb2.STORE_OUTCOME_ALREADY_STORED
    healed = await told(storage, Kind.KIND_OBJECT_HEALED)
    assert healed.name == f"{INSTANCE}/versions/1"
    (message,) = await storage.stream("RetrieveInstances", name=INSTANCE)
    assert message.data.content == ct()
    assert not (await storage.admin("ListDamagedObjects")).objects


async def test_an_object_that_came_back_from_a_backup_is_served_once_it_was_verified(storage: Storage) -> None:
    await storage.store_one(ct())
    (path,) = storage.objects()
    path.unlink()
    with pytest.raises(DataLoss):
        await storage.stream("RetrieveInstances", name=INSTANCE)
    await told(storage)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ct())
    with pytest.raises(DataLoss, match="storage verify"):
        await storage.stream("RetrieveInstances", name=INSTANCE)
    *_, last = await storage.admin("VerifyObjects", names=["studies/1.2.3"])
    assert [found.name for found in last.recovered] == [f"{INSTANCE}/versions/1"]
    (message,) = await storage.stream("RetrieveInstances", name=INSTANCE)
    assert message.data.content == ct()
    await told(storage, Kind.KIND_OBJECT_HEALED)


async def test_a_deflated_data_set_is_proven_as_a_whole(storage: Storage) -> None:
    data_set = pydicom.dcmread(BytesIO(ct()))
    data_set.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    await storage.store_one(encoded(data_set))
    flip(-20)(storage.objects()[0])
    for method, request in READS.values():
        with pytest.raises(DataLoss):
            await storage.stream(method, **request)


async def test_when_the_folder_of_objects_is_gone_nothing_is_said_to_be_lost(storage: Storage) -> None:
    await storage.store_one(ct())
    objects = storage.folder / "storage" / "objects"
    aside = objects.rename(objects.with_name("unmounted"))
    with pytest.raises(Unavailable):
        await storage.stream("RetrieveInstances", name=INSTANCE)
    with pytest.raises(Unavailable):
        await storage.admin("VerifyObjects")
    aside.rename(objects)
    (message,) = await storage.stream("RetrieveInstances", name=INSTANCE)
    assert message.data.content == ct()
    assert not (await storage.admin("ListDamagedObjects")).objects
