"""Uploads and reads go on when the storage service is killed in the middle."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from imaging.client.storage import StorageClient, StoreResult, Upload
from imaging.rpc.channel import open_channel
from tests.ct_series import ct_series
from tests.installation.storage_process import storage_process

pytestmark = pytest.mark.integration


def large_instance(template: bytes, frames: int) -> bytes:
    """A multi-frame secondary capture of `frames` * 1 MiB, made of a small instance."""
    dataset = pydicom.dcmread(io.BytesIO(template))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{dataset.SOPInstanceUID}.1"[-60:].lstrip(
        ".0"
    )
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 512, 1024, frames
    pixels = np.random.default_rng(7).integers(0, 4096, (frames, 512, 1024), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


async def test_every_upload_is_answered_once_and_kept_when_storage_is_killed_twice(tmp_path: Path) -> None:
    series = ct_series("client-killed", slices=120, size=128)
    contents = dict(series.instances)
    large = large_instance(next(iter(contents.values())), 24)
    uploads = [Upload("large", large), *(Upload(uid, content) for uid, content in contents.items())]
    with storage_process(tmp_path / "data") as storage:
        async with open_channel(storage.address) as channel:
            client = StorageClient(channel)
            results: dict[str, StoreResult] = {}
            async for result in client.store(uploads):
                assert result.upload_id not in results
                results[result.upload_id] = result
                if len(results) in (20, 70):
                    storage.kill()
                    await asyncio.to_thread(storage.start)
            assert set(results) == {"large", *contents}
            assert not [result.error for result in results.values() if result.error]
            stored = results["large"].instance
            assert stored is not None
            ((_, kept),) = [item async for item in client.retrieve_instances(stored.name)]
            assert kept == large
            study = stored.name.partition("/series/")[0]
            kept_all = {i.sop_instance_uid: content async for i, content in client.retrieve_instances(study)}
            assert all(kept_all[uid] == content for uid, content in contents.items())
            await client.close()


async def test_frames_go_on_when_storage_is_killed_between_them(tmp_path: Path) -> None:
    series = ct_series("client-frames", slices=60, size=256)
    with storage_process(tmp_path / "data") as storage:
        async with open_channel(storage.address) as channel:
            client = StorageClient(channel)
            results = [r async for r in client.store(Upload(uid, data) for uid, data in series.instances.items())]
            assert results[0].instance is not None
            name = results[0].instance.name.partition("/instances/")[0]
            seen: list[str] = []
            async for frame in client.read_frames(series=name):
                seen.append(frame.sop_instance_uid)
                if len(seen) == 10:
                    storage.kill()
                    await asyncio.to_thread(storage.start)
            assert sorted(seen) == sorted(series.instances)
            await client.close()
