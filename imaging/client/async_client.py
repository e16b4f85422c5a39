"""The asynchronous client of a whole installation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from imaging.client import conversion
from imaging.client.alerts import AsyncAlerts
from imaging.client.destinations import AsyncDestinations
from imaging.client.endpoints import resolve_endpoints
from imaging.client.file_store import OnProgress, paths_of, store_files
from imaging.client.patience import Patience
from imaging.client.reports import AsyncReports
from imaging.client.results import Series, StoreSummary, Study
from imaging.client.run_results import Finding, Run
from imaging.client.runs import AsyncRuns
from imaging.client.search_keys import search_keys
from imaging.client.storage import Selection, StorageClient
from imaging.client.storage_admin import AsyncStorageAdmin
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.settings import Settings, load_settings

if TYPE_CHECKING:
    from imaging.client.frame import Frame
    from imaging.client.loose_frames import AnalyzedFrame, Frames, ProcessedFrame
    from imaging.client.series_array import SeriesArray


class AsyncClient:
    """Everything that a user does with an installation. Failures are `ImagingError`s with a hint.

    Use it as an async context manager, or call `close`. Names are resource names, as results carry them
    (`studies/…/series/…`); where a result itself is given instead, its name is taken.
    """

    def __init__(
        self,
        endpoints: str | Mapping[str, str] | None = None,
        *,
        settings: Settings | None = None,
        patience: Patience | None = None,
        source: str = "imaging-client",
    ) -> None:
        settings = settings or load_settings()
        self.endpoints = resolve_endpoints(endpoints, settings)
        self._source = source
        self._stack = AsyncExitStack()
        how = settings.channel()
        channels = {name: open_channel(address, how) for name, address in self.endpoints.items()}
        for channel in channels.values():
            self._stack.push_async_callback(channel.close)
        self.storage = StorageClient(channels["storage"], patience=patience)
        """The lower level: uploads, headers, frames and volumes one by one."""
        self._stack.push_async_callback(self.storage.close)
        self.storage_admin = AsyncStorageAdmin(channels["storage"])
        self.runs = AsyncRuns(channels["pipeline"], patience or Patience())
        self.alerts = AsyncAlerts(channels["pipeline"], patience or Patience())
        self.reports = AsyncReports(channels["reporting"])
        self.destinations = AsyncDestinations(channels["gateway"])
        self._processing_channel, self._analysis_channel = channels["processing"], channels["analysis"]
        self._analysis: analysis_service_pb2_grpc.AnalysisServiceAsyncStub = (
            analysis_service_pb2_grpc.AnalysisServiceStub(channels["analysis"])
        )

    async def store(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        progress: OnProgress | None = None,
        complete: bool = False,
        headerless_transfer_syntax_uid: str = "",
    ) -> StoreSummary:
        """Store every DICOM file at or below the paths; each file has its own result.

        Parameters
        ----------
        progress
            Called after each file, and while a large one is sent.
        complete
            Say afterwards that each study was sent whole, so that its run starts at once and not after the quiet time.
        headerless_transfer_syntax_uid
            Take files without preamble and file meta, encoded in this transfer syntax.
        """
        given = paths_of(paths)
        await self.storage.check_reachable()
        summary = await store_files(
            self.storage,
            given,
            source=self._source,
            headerless_transfer_syntax_uid=headerless_transfer_syntax_uid,
            progress=progress,
        )
        if complete:
            for study in summary.studies:
                await self.storage.complete_study(study)
        return summary

    async def search_studies(self, *, limit: int | None = None, **keys: str) -> list[Study]:
        """Studies that match all keys, newest first; at most `limit`, or all.

        Keys are attributes in snake case (`patient_id="4711"`, `study_date="20260101-20260131"`) or DICOM keywords
        (`PatientID`). Values match as in PS3.4 C.2.2.2.

        Raises
        ------
        InvalidArgument
            If a key is unknown.
        """
        found = self.storage.search_studies(limit=limit, **search_keys(keys))
        return [conversion.study(item) async for item in found]

    async def studies(self) -> list[Study]:
        """All studies, newest first."""
        return await self.search_studies()

    async def study(self, study: str | Study) -> Study:
        """One study."""
        return conversion.study(await self.storage.get_study(_name(study, "studies")))

    async def series(self, study: str | Study = "", *, limit: int | None = None, **keys: str) -> list[Series]:
        """The series of a study, or of all, that match all keys; at most `limit`, or all."""
        parent = _name(study, "studies") if study else ""
        found = self.storage.search_series(parent, limit=limit, **search_keys(keys))
        return [conversion.series(item) async for item in found]

    async def metadata(self, name: str | Study | Series) -> list[dict[str, Any]]:
        """The DICOM JSON model (PS3.18 F) of each instance of a study, series or instance, without bulk data."""
        answer = await self.storage.retrieve_metadata(_name(name, "studies"))
        return await asyncio.to_thread(answer.models)

    async def frames(
        self,
        series: str | Series,
        *,
        sop_instance_uids: Sequence[str] = (),
        rescale: bool = False,
        resolution_level: int = 0,
    ) -> AsyncGenerator[Frame]:
        """The decoded frames of a series, in the order of instance number.

        Parameters
        ----------
        resolution_level
            Not 0: small pictures, halved so many times, for which only so many bytes are sent; `refine` gets the rest.
        rescale
            Apply the Modality LUT, so that CT is in HU; False: stored values.
        """
        name = _name(series, "studies")
        headers = {}
        if rescale:
            headers = {h.instance.name: h.dataset for h in await self.storage.read_headers(name, sop_instance_uids)}
        if sop_instance_uids:
            selections = [Selection(instance=f"{name}/instances/{uid}") for uid in sop_instance_uids]
            frames = self.storage.read_frames(selections=selections, resolution_level=resolution_level)
        else:
            frames = self.storage.read_frames(series=name, resolution_level=resolution_level)
        try:
            async for frame in frames:
                yield _rescaled(frame, headers[frame.instance]) if rescale else frame
        finally:
            await frames.aclose()

    async def refine(self, frames: Iterable[Frame], *, resolution_level: int = 0) -> AsyncGenerator[Frame]:
        """The same frames at a finer resolution level, stored values; only the bytes that they lack are sent."""
        finer = self.storage.refine_frames(frames, resolution_level=resolution_level)
        try:
            async for frame in finer:
                yield frame
        finally:
            await finer.aclose()

    async def to_numpy(
        self, series: str | Series, *, rescale: bool = True, sop_instance_uids: Sequence[str] = ()
    ) -> SeriesArray:
        """The pixels of a series as one array, with spacing, origin and orientation where the frames make a volume."""
        name = _name(series, "studies")
        from imaging.client.series_array import series_array  # numpy comes with the first pixels

        return await series_array(self.storage, name, rescale=rescale, sop_instance_uids=tuple(sop_instance_uids))

    async def process_frames(
        self, frames: Frames, step: str, *, spacing_mm: tuple[float, float] = (1.0, 1.0), **parameters: Any
    ) -> AsyncGenerator[ProcessedFrame]:
        """Frames of your own, shape (rows, columns) with values such as HU, after a processing step, in order.

        Nothing is stored. A frame that cannot be processed comes with its error, and the rest goes on.

        Parameters
        ----------
        spacing_mm
            Of rows and of columns.
        """
        from imaging.client.loose_frames import process_frames

        answers = process_frames(self._processing_channel, frames, step, parameters, spacing_mm)
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def analyze_frames(
        self,
        frames: Frames,
        model: str,
        *,
        modality: str = "",
        units: str = "1",
        attributes: Mapping[str, str] | None = None,
        spacing_mm: tuple[float, float] = (1.0, 1.0),
        **parameters: Any,
    ) -> AsyncGenerator[AnalyzedFrame]:
        """What a model measures in each of your own frames, in order; nothing is stored.

        Parameters
        ----------
        modality, attributes
            What their headers would tell, by DICOM keyword: `{"ConvolutionKernel": "B30f"}`.
        units
            UCUM unit of the values: `[hnsf'U]` for Hounsfield units.
        """
        from imaging.client.loose_frames import analyze_frames

        answers = analyze_frames(
            self._analysis_channel,
            frames,
            model,
            parameters,
            spacing_mm,
            modality=modality,
            units=units,
            attributes=attributes or {},
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def findings(self, *, study: str | Study = "", run: str | Run = "") -> list[Finding]:
        """The findings of a study or of a run, in the order in which they were made."""
        request = analysis_service_pb2.ListFindingsRequest(
            study=_name(study, "studies") if study else "", run=_name(run, "runs") if run else "", page_size=1000
        )
        found: list[Finding] = []
        while True:
            with domain_errors(self.endpoints["analysis"]):
                page = await self._analysis.ListFindings(request)
            found.extend(conversion.finding(item) for item in page.findings)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

    async def retrieve(self, name: str | Study | Series) -> AsyncGenerator[tuple[str, bytes]]:
        """The name and the bytes of each instance of a study, series or instance, as they were sent."""
        async for instance, content in self.storage.retrieve_instances(_name(name, "studies")):
            yield instance.name, content

    async def close(self) -> None:
        """Close the connections."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _name(given: Any, collection: str) -> str:
    """The resource name of a result or of a string; a bare UID or id gets its collection in front."""
    name = given if isinstance(given, str) else str(given.name)
    return name if "/" in name else f"{collection}/{name}"


def _rescaled(frame: Frame, header: Any) -> Frame:
    from imaging.client.modality_values import modality_values  # pydicom is slow to import

    return replace(frame, pixels=modality_values(frame.pixels, header, frame.frame_number))
