"""What a stage has made is stored whole, or not at all when one of its objects is not sound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from imaging.client.storage import StorageClient
from imaging.derived.deterministic import part10_bytes
from imaging.errors import NotFound, ObjectRefused
from imaging.gate.check import Outgoing
from imaging.phantom.ct_series import phantom_datasets
from imaging.rpc.channel import open_channel
from imaging.stage.v1.stage_pb2 import StageContext
from imaging.storage.v1 import storage_pb2
from imaging.work.derived_output import derived_origin, store_derived
from tests.analysis.chest import QUICK_MM, chest
from tests.installation.in_process import services_in_process

ORIGIN = derived_origin(StageContext(run="runs/1", stage="1-test", attempt=1))


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[StorageClient]:
    async with (
        services_in_process(tmp_path, "storage") as settings,
        open_channel(settings.storage.address) as channel,
    ):
        client = StorageClient(channel)
        yield client
        await client.close()


def _slices() -> list[bytes]:
    return [part10_bytes(dataset) for dataset in phantom_datasets(chest(QUICK_MM)[0])][:3]


def _without_modality(content: bytes) -> bytes:
    dataset = dcmread(BytesIO(content))
    del dataset.Modality
    return part10_bytes(dataset)


async def test_sound_objects_are_stored_as_derived_with_the_answer_of_the_gate(storage: StorageClient) -> None:
    contents = _slices()
    stored = await store_derived(storage, [Outgoing(content) for content in contents], ORIGIN, source="test")
    uids = [dcmread(BytesIO(content)).SOPInstanceUID for content in contents]
    assert [instance.sop_instance_uid for instance in stored.instances] == uids
    assert {instance.origin.kind for instance in stored.instances} == {storage_pb2.Origin.KIND_DERIVED}
    assert [check.object_count for check in stored.checks] == [3]


async def test_one_unsound_object_keeps_all_of_them_out(storage: StorageClient) -> None:
    first, second, third = _slices()
    objects = [Outgoing(first), Outgoing(_without_modality(second)), Outgoing(third)]
    with pytest.raises(ObjectRefused, match=r"Modality \(type 1\) has no value"):
        await store_derived(storage, objects, ORIGIN, source="test")
    with pytest.raises(NotFound):
        await storage.get_study(f"studies/{dcmread(BytesIO(first)).StudyInstanceUID}")


async def test_of_objects_that_come_one_by_one_the_unsound_one_is_not_stored(storage: StorageClient) -> None:
    first, second, _ = _slices()

    async def objects() -> AsyncIterator[Outgoing]:
        yield Outgoing(first)
        yield Outgoing(_without_modality(second))

    with pytest.raises(ObjectRefused):
        await store_derived(storage, objects(), ORIGIN, source="test")
    dataset = dcmread(BytesIO(second))
    series = f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
    with pytest.raises(NotFound):
        await storage.get_instance(f"{series}/instances/{dataset.SOPInstanceUID}")
