"""Orthanc as the other PACS: it finds and moves here, gets what it asks for, and is where a recipe sends results."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from imaging.client.destinations import AsyncDestinations
from imaging.client.patience import Patience
from imaging.client.runs import AsyncRuns
from imaging.client.storage import StorageClient
from imaging.rpc.channel import open_channel
from imaging.settings import ServiceName
from tests.ct_series import ct_series
from tests.gateway.dimse.archive import Archive, data_set_of, free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.test_c_find import keep
from tests.gateway.dimse.test_dcmtk import until_listening
from tests.installation.in_process import services_in_process

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed, so it is no peer"),
]


STARTED: tuple[ServiceName, ...] = ("storage", "processing", "analysis", "reporting", "gateway", "pipeline")
"""In this order, so that each knows where those that it calls are."""

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HAS_DICOMWEB = DICOMWEB_PLUGIN.exists()
RECIPE = """\
name: ct-back-to-the-pacs
version: 1
match: {Modality: CT}
stages:
  - {process: denoise-median}
  - {analyze: image-statistics}
  - {analyze: tissue-composition}
  - {report: quantitative}
  - {send: %s, what: %s}
"""


class Orthanc:
    """Its REST interface."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, path: str, body: Any) -> Any:
        """The JSON answer."""
        answer = await self._client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def files(self) -> dict[str, bytes]:
        """What it has, by SOP Instance UID."""
        found: dict[str, bytes] = {}
        for instance in (await self._client.get("/instances?expand")).json():
            content = (await self._client.get(f"/instances/{instance['ID']}/file")).content
            found[instance["MainDicomTags"]["SOPInstanceUID"]] = content
        return found


@asynccontextmanager
async def orthanc(
    folder: Path, dicom_port: int, archive: Archive, http_port: int | None = None
) -> AsyncIterator[Orthanc]:
    """A running one that knows the archive as the modality `imaging`."""
    http_port = http_port or free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "files"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "DicomModalities": {"imaging": ["IMAGING", "127.0.0.1", archive.port]},
        "Plugins": [str(DICOMWEB_PLUGIN)] if HAS_DICOMWEB else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    process = await asyncio.create_subprocess_exec(
        *("Orthanc", str(folder / "orthanc.json")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_listening(http_port)
        await until_listening(dicom_port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", timeout=60, trust_env=False) as client:
            yield Orthanc(client)
    finally:
        process.terminate()
        await process.wait()


async def test_orthanc_sends_finds_moves_and_is_sent_to(start: Start, tmp_path: Path) -> None:
    port = free_port()
    there = {"orthanc": {"ae_title": "ORTHANC", "address": f"127.0.0.1:{port}"}}
    moved, sent = ct_series("orthanc moves", slices=6), ct_series("orthanc is sent", slices=6)
    async with start(gateway__destinations=there) as archive:
        await keep(archive, *moved.instances.values(), *sent.instances.values())
        async with orthanc(tmp_path, port, archive) as peer:
            await peer.post("/modalities/imaging/echo", {})
            query = {"Level": "Study", "Query": {"StudyInstanceUID": moved.study_instance_uid, "PatientName": ""}}
            found = await peer.post("/modalities/imaging/query", query)
            await peer.post(f"/queries/{found['ID']}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
            assert set(await peer.files()) == set(moved.instances)

            async with open_channel(archive.settings.gateway.address) as channel:
                destinations = AsyncDestinations(channel)
                assert (await destinations.echo("orthanc")).error is None
                steps = [step async for step in destinations.send("orthanc", [sent.study])]
            assert (steps[-1].sent_count, steps[-1].not_sent) == (6, ())
            kept = await peer.files()
            assert {uid: data_set_of(kept[uid]) for uid in sent.instances} == {
                uid: data_set_of(content) for uid, content in sent.instances.items()
            }

            # And back: what the archive has already, it takes as such.
            stored = await peer.post("/modalities/imaging/store", {"Resources": await _ids(peer), "Synchronous": True})
            assert (stored["InstancesCount"], stored["FailedInstancesCount"]) == (12, 0)


@pytest.mark.parametrize("way", ["dimse", "stow-rs"])
async def test_results_go_back_to_orthanc_by_a_recipe_and_their_echo_starts_no_run(tmp_path: Path, way: str) -> None:
    """By C-STORE what is not the study, by STOW-RS the study with its results; Orthanc then sends all of it back."""
    if way == "stow-rs" and not HAS_DICOMWEB:
        pytest.skip("Orthanc's DICOMweb plugin is not installed, so it takes no STOW-RS")
    port, http_port = free_port(), free_port()
    there = {
        "dimse": {"ae_title": "ORTHANC", "address": f"127.0.0.1:{port}"},
        "stow-rs": {"url": f"http://127.0.0.1:{http_port}/dicom-web"},
    }
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (tmp_path / "orthanc").mkdir()
    (recipes / "a.yaml").write_text(RECIPE % (way, "results" if way == "dimse" else "study"))
    overrides: dict[str, object] = {
        "gateway.dimse_acceptors": 1,
        "gateway.destinations": there,
        "storage.quiet_time_seconds": 3600,
        "pipeline.recipes_dir": recipes,
    }
    series = ct_series(f"back by {way}", slices=6)
    async with (
        services_in_process(tmp_path / "data", *STARTED, overrides=overrides) as settings,
        open_channel(settings.storage.address) as channel,
        open_channel(settings.pipeline.address) as pipeline,
    ):
        client, runs = StorageClient(channel), AsyncRuns(pipeline, Patience())
        archive = Archive(client, settings)
        async with orthanc(tmp_path / "orthanc", port, archive, http_port) as peer:
            await keep(archive, *series.instances.values())
            await client.complete_study(series.study)
            run = [step async for step in runs.watch(series.study)][-1]
            assert run.state == "SUCCEEDED", run.reason
            all_of_it = await archive.objects(series.study)
            derived = {uid: content for uid, content in all_of_it.items() if uid not in series.instances}
            expected = derived if way == "dimse" else all_of_it
            kept = await peer.files()
            assert {uid: data_set_of(content) for uid, content in kept.items()} == {
                uid: data_set_of(content) for uid, content in expected.items()
            }
            classes = {str(pydicom.dcmread(BytesIO(content)).Modality) for content in kept.values()}
            assert classes >= {"CT", "SR", "DOC"}

            stored = await peer.post("/modalities/imaging/store", {"Resources": await _ids(peer), "Synchronous": True})
            assert stored["FailedInstancesCount"] == 0
            assert set(await archive.objects(series.study)) == set(all_of_it)
            manifest = await client.complete_study(series.study)
            assert manifest.version == 1
            assert [one.name for one in await runs.list()] == [run.name]
        await client.close()


async def _ids(peer: Orthanc) -> list[str]:
    return [str(found) for found in await peer.post("/tools/find", {"Level": "Study", "Query": {}})]
