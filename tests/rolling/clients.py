"""Clients of every kind that work while replicas are restarted, and write down each call that failed."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

import httpx
import pydicom
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from imaging.client.async_client import AsyncClient
from imaging.client.storage import StorageClient
from tests.ct_series import CtSeries, ct_series
from tests.kill.history import CompletionEntry, History, UploadEntry
from tests.rolling.replicas import Replicated

BOUNDARY = "a-b_c"

STUDIES_AT_ONCE = 8
"""On their way from the first upload to the report; more than that would be a queue of runs, and so a longer test."""


@dataclass(slots=True)
class Clients:
    """All of them on one installation."""

    installation: Replicated
    history: History
    calls: Counter[str] = field(default_factory=Counter)
    """By what was asked."""

    failed: list[str] = field(default_factory=list)
    """A sentence for each call that failed."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STUDIES_AT_ONCE))
    """Taken by each study that is sent, given back when its run was followed to the end."""

    @asynccontextmanager
    async def call(self, what: str) -> AsyncIterator[None]:
        """One call; whatever it raises is written down."""
        self.calls[what] += 1
        try:
            yield
        except Exception as error:  # noqa: BLE001 - this is what the test looks for
            self.failed.append(f"{what} at {self.history.now():.1f} s: {type(error).__name__}: {error}")
            sys.stderr.write(f"    {self.failed[-1]}\n")

    def let_everybody_end(self) -> None:
        """Nobody waits for room any more; `history.until` has come."""
        for _ in range(STUDIES_AT_ONCE):
            self.room.release()

    async def follow_runs(self, client: AsyncClient) -> None:
        """For each study that is complete, watch its run to the end and read its findings and report."""
        async with asyncio.TaskGroup() as tasks:
            known = 0
            while self.history.now() < self.history.until:
                for entry in self.history.completions[known:]:
                    known += 1
                    tasks.create_task(self._follow_run(client, entry.study))
                await asyncio.sleep(0.2)

    async def _follow_run(self, client: AsyncClient, study: str) -> None:
        try:
            await self._follow_to_the_report(client, study)
        finally:
            self.room.release()

    async def _follow_to_the_report(self, client: AsyncClient, study: str) -> None:
        async with self.call("watch a run"):
            last = None
            async for run in client.runs.watch(study):
                last = run
            assert last is not None
            assert last.state == "SUCCEEDED", f"{last.name} is {last.state}: {last.reason}"
            async with self.call("list findings"):
                assert await client.findings(run=last)
            async with self.call("list reports"):
                assert await client.reports.list(study)

    async def read(self, client: AsyncClient, seed: int) -> None:
        """Search, retrieve, decode what is known to be stored."""
        chance = random.Random(seed)
        while self.history.now() < self.history.until:
            await asyncio.sleep(chance.uniform(0, 0.5))
            stored = self.history.completions
            if not stored:
                continue
            study = chance.choice(stored).study
            async with self.call("search studies"):
                assert await client.search_studies(study_instance_uid=study.removeprefix("studies/"))
            async with self.call("read frames"):
                for series in await client.series(study):
                    if series.modality == "CT":
                        frames = [frame async for frame in client.frames(series)]
                        # More, where a stage stores its result meanwhile.
                        assert len(frames) >= series.instance_count, f"{len(frames)} of {series.instance_count}"
            async with self.call("list runs"):
                await client.runs.list(study)

    async def use_web(self, storage: StorageClient, seed: str) -> None:
        """STOW-RS, QIDO-RS and WADO-RS at whichever gateway takes the connection."""
        number = 0
        while self.history.now() < self.history.until:
            number += 1
            await self.room.acquire()
            series = await asyncio.to_thread(ct_series, f"{seed}-{number}", slices=4, size=48)
            async with self.call("STOW-RS"):
                answer = await self._http("POST", "/studies", content=_multipart(series))
                assert answer.status_code == 200, answer.text
                self._note(series)
            async with self.call("QIDO-RS"):
                answer = await self._http("GET", f"/studies?StudyInstanceUID={series.study_instance_uid}")
                assert answer.json(), answer.status_code
            async with self.call("WADO-RS"):
                answer = await self._http("GET", f"/{series.study}")
                assert answer.status_code == 200, answer.text
                assert all(content in answer.content for content in series.instances.values())
            await self._complete(storage, series)
            await asyncio.sleep(1)

    async def use_dimse(self, storage: StorageClient, seed: str) -> None:
        """Studies by C-STORE, an association each."""
        number = 0
        while self.history.now() < self.history.until:
            number += 1
            await self.room.acquire()
            series = await asyncio.to_thread(ct_series, f"{seed}-{number}", slices=4, size=48)
            async with self.call("C-STORE"):
                await asyncio.to_thread(self._c_store, series)
                self._note(series)
            await self._complete(storage, series)
            await asyncio.sleep(1)

    def _c_store(self, series: CtSeries) -> None:
        entity = AE(ae_title="MODALITY")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
        entity.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
        for address in self.installation.open_doors("dimse"):
            host, _, port = address.rpartition(":")
            association = entity.associate(host, int(port), ae_title="IMAGING")
            if association.is_established:
                break
        assert association.is_established, "no gateway takes the association"
        for content in series.instances.values():
            status = association.send_c_store(pydicom.dcmread(BytesIO(content)))
            assert status.get("Status") == 0, f"status {status}"
        association.release()

    async def _http(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        headers = (
            {"content-type": f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'} if content else {}
        )
        async with httpx.AsyncClient(timeout=60) as http:
            for address in self.installation.open_doors("http"):
                try:
                    return await http.request(
                        method, f"http://{address}/dicom-web{path}", content=content, headers=headers
                    )
                except httpx.ConnectError:
                    continue
        raise ConnectionError("no gateway takes the connection")

    def _note(self, series: CtSeries) -> None:
        now = self.history.now()
        for uid, content in series.instances.items():
            self.history.uploads.append(UploadEntry(now, series.study, uid, content, "stored"))

    async def _complete(self, storage: StorageClient, series: CtSeries) -> None:
        async with self.call("complete a study"):
            manifest = await storage.complete_study(series.study, list(series.instances))
            uids, trace_id = frozenset(series.instances), manifest.traceparent.split("-")[1]
            self.history.completions.append(
                CompletionEntry(self.history.now(), series.study, manifest.version, uids, trace_id)
            )


def _multipart(series: CtSeries) -> bytes:
    parts = [
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + content + b"\r\n"
        for content in series.instances.values()
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
