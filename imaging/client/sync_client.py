"""The synchronous client: the same calls as `AsyncClient`, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from imaging.client import results
from imaging.client.alerts import Alert
from imaging.client.async_client import AsyncClient
from imaging.client.destinations import Destination, Echo, FailedSend, Sending
from imaging.client.file_store import OnProgress
from imaging.client.loop_thread import LoopThread
from imaging.client.patience import Patience
from imaging.client.results import StoreSummary, Study
from imaging.client.run_results import Document, Finding, Report, Run, State
from imaging.settings import Settings

if TYPE_CHECKING:
    from imaging.client.frame import Frame
    from imaging.client.loose_frames import AnalyzedFrame, Frames, ProcessedFrame
    from imaging.client.series_array import SeriesArray


@dataclass(frozen=True, slots=True)
class Series(results.Series):
    """A series whose pixels are at hand."""

    client: Client = field(repr=False, compare=False, kw_only=True)

    def to_numpy(self, *, rescale: bool = True, sop_instance_uids: Sequence[str] = ()) -> SeriesArray:
        """The pixels as one array, with spacing, origin and orientation where the frames make a volume."""
        return self.client.to_numpy(self.name, rescale=rescale, sop_instance_uids=sop_instance_uids)

    def frames(self, *, rescale: bool = False, resolution_level: int = 0) -> Iterator[Frame]:
        """The decoded frames, in the order of instance number."""
        return self.client.frames(self.name, rescale=rescale, resolution_level=resolution_level)


class Client:
    """Everything that a user does with an installation. Failures are `ImagingError`s with a hint.

    Use it as a context manager, or call `close`. See `AsyncClient` for the meaning of the arguments.
    """

    def __init__(
        self,
        endpoints: str | Mapping[str, str] | None = None,
        *,
        settings: Settings | None = None,
        patience: Patience | None = None,
        source: str = "imaging-client",
    ) -> None:
        self._loop = LoopThread()
        try:
            self._client = self._loop.run(_open(endpoints, settings, patience, source))
        except BaseException:
            self._loop.close()
            raise
        self._closed = False
        self.endpoints = self._client.endpoints
        self.runs = Runs(self._client, self._loop)
        self.reports = Reports(self._client, self._loop)
        self.alerts = Alerts(self._client, self._loop)
        self.destinations = Destinations(self._client, self._loop)

    def store(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        progress: OnProgress | None = None,
        complete: bool = False,
        headerless_transfer_syntax_uid: str = "",
    ) -> StoreSummary:
        """Store every DICOM file at or below the paths; each file has its own result."""
        return self._loop.run(
            self._client.store(
                paths,
                progress=progress,
                complete=complete,
                headerless_transfer_syntax_uid=headerless_transfer_syntax_uid,
            )
        )

    def search_studies(self, *, limit: int | None = None, **keys: str) -> list[Study]:
        """Studies that match all keys (`patient_id="4711"`), newest first; at most `limit`, or all."""
        return self._loop.run(self._client.search_studies(limit=limit, **keys))

    def studies(self) -> list[Study]:
        """All studies, newest first."""
        return self._loop.run(self._client.studies())

    def study(self, study: str | Study) -> Study:
        """One study."""
        return self._loop.run(self._client.study(study))

    def series(self, study: str | Study = "", *, limit: int | None = None, **keys: str) -> list[Series]:
        """The series of a study, or of all, that match all keys; at most `limit`, or all."""
        found = self._loop.run(self._client.series(study, limit=limit, **keys))
        names = [item.name for item in fields(results.Series)]
        return [Series(**{name: getattr(item, name) for name in names}, client=self) for item in found]

    def metadata(self, name: str | Study | results.Series) -> list[dict[str, Any]]:
        """The DICOM JSON model (PS3.18 F) of each instance of a study, series or instance, without bulk data."""
        return self._loop.run(self._client.metadata(name))

    def frames(
        self,
        series: str | results.Series,
        *,
        sop_instance_uids: Sequence[str] = (),
        rescale: bool = False,
        resolution_level: int = 0,
    ) -> Iterator[Frame]:
        """The decoded frames of a series; `rescale` applies the Modality LUT, `resolution_level` halves them."""
        return self._loop.iterate(
            self._client.frames(
                series, sop_instance_uids=sop_instance_uids, rescale=rescale, resolution_level=resolution_level
            )
        )

    def refine(self, frames: Iterable[Frame], *, resolution_level: int = 0) -> Iterator[Frame]:
        """The same frames at a finer resolution level; only the bytes that they lack are sent."""
        return self._loop.iterate(self._client.refine(frames, resolution_level=resolution_level))

    def to_numpy(
        self, series: str | results.Series, *, rescale: bool = True, sop_instance_uids: Sequence[str] = ()
    ) -> SeriesArray:
        """The pixels of a series as one array."""
        return self._loop.run(self._client.to_numpy(series, rescale=rescale, sop_instance_uids=sop_instance_uids))

    def process_frames(
        self, frames: Frames, step: str, *, spacing_mm: tuple[float, float] = (1.0, 1.0), **parameters: Any
    ) -> Iterator[ProcessedFrame]:
        """Frames of your own after a processing step, in order; nothing is stored."""
        return self._loop.iterate(self._client.process_frames(frames, step, spacing_mm=spacing_mm, **parameters))

    def analyze_frames(
        self,
        frames: Frames,
        model: str,
        *,
        modality: str = "",
        units: str = "1",
        attributes: Mapping[str, str] | None = None,
        spacing_mm: tuple[float, float] = (1.0, 1.0),
        **parameters: Any,
    ) -> Iterator[AnalyzedFrame]:
        """What a model measures in each of your own frames, in order; nothing is stored."""
        return self._loop.iterate(
            self._client.analyze_frames(
                frames,
                model,
                modality=modality,
                units=units,
                attributes=attributes,
                spacing_mm=spacing_mm,
                **parameters,
            )
        )

    def findings(self, *, study: str | Study = "", run: str | Run = "") -> list[Finding]:
        """The findings of a study or of a run."""
        return self._loop.run(self._client.findings(study=study, run=run))

    def retrieve(self, name: str | Study | results.Series) -> Iterator[tuple[str, bytes]]:
        """The name and the bytes of each instance of a study, series or instance, as they were sent."""
        return self._loop.iterate(self._client.retrieve(name))

    def close(self) -> None:
        """Close the connections and end the thread. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._loop.run(self._client.close())
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Runs:
    """The runs of an installation."""

    def __init__(self, client: AsyncClient, loop: LoopThread) -> None:
        self._runs = client.runs
        self._loop = loop

    def list(self, study: str | Study = "", states: Iterable[State] = ()) -> Sequence[Run]:
        """Runs, newest first; of one study, in some states, or all."""
        return self._loop.run(self._runs.list(study, states))

    def get(self, run: str | Run) -> Run:
        """One run."""
        return self._loop.run(self._runs.get(run))

    def watch(self, target: str | Run | Study) -> Iterator[Run]:
        """A run, or the newest run of a study, with every change of it until it has ended."""
        return self._loop.iterate(self._runs.watch(target))

    def cancel(self, run: str | Run) -> Run:
        """End a run and the stage that it is in."""
        return self._loop.run(self._runs.cancel(run))

    def retry(self, run: str | Run) -> Run:
        """Take a failed or cancelled run up again at the stage where it ended."""
        return self._loop.run(self._runs.retry(run))

    def create(self, study: str | Study, recipe: str = "") -> Run:
        """Start a run by hand."""
        return self._loop.run(self._runs.create(study, recipe))


class Reports:
    """The reports of an installation."""

    def __init__(self, client: AsyncClient, loop: LoopThread) -> None:
        self._reports = client.reports
        self._loop = loop

    def list(self, study: str | Study = "") -> Sequence[Report]:
        """The reports of a study or of all, newest first."""
        return self._loop.run(self._reports.list(study))

    def get(self, report: str | Report) -> Report:
        """One report."""
        return self._loop.run(self._reports.get(report))

    def finalize(self, report: str | Report, *, observer: str, organization: str) -> Report:
        """Make a version final in the name of a person (`Family^Given`): it never changes from then on."""
        return self._loop.run(self._reports.finalize(report, observer=observer, organization=organization))

    def read(self, report: str | Report, document: Document) -> bytes:
        """The bytes of one document."""
        return self._loop.run(self._reports.read(report, document))

    def download(self, report: str | Report, folder: str | Path) -> tuple[Path, ...]:
        """Write every document of a report into a folder; the files come back."""
        return self._loop.run(self._reports.download(report, folder))


class Alerts:
    """The alerts of an installation."""

    def __init__(self, client: AsyncClient, loop: LoopThread) -> None:
        self._alerts = client.alerts
        self._loop = loop

    def list(self, study: str | Study = "", *, only_open: bool = False) -> Sequence[Alert]:
        """Alerts, newest first; of one study or all, or only those that nobody has acknowledged."""
        return self._loop.run(self._alerts.list(study, only_open=only_open))

    def watch(self, start_revision: int = 0) -> Iterator[Alert]:
        """Alerts as they are raised, without end; from a revision on, or (0) from now on."""
        return self._loop.iterate(self._alerts.watch(start_revision))

    def acknowledge(self, alert: str | Alert) -> Alert:
        """Say that somebody has seen it."""
        return self._loop.run(self._alerts.acknowledge(alert))

    def redeliver(self, alert: str | Alert) -> Alert:
        """Tell it anew to the webhooks that have not taken it."""
        return self._loop.run(self._alerts.redeliver(alert))


class Destinations:
    """The destinations of an installation."""

    def __init__(self, client: AsyncClient, loop: LoopThread) -> None:
        self._destinations = client.destinations
        self._loop = loop

    def list(self) -> Sequence[Destination]:
        """All of them, by name."""
        return self._loop.run(self._destinations.list())

    def echo(self, destination: str) -> Echo:
        """Whether a destination answers."""
        return self._loop.run(self._destinations.echo(destination))

    def send(self, destination: str, names: Sequence[str], *, request_id: str = "") -> Iterator[Sending]:
        """Send studies, series or instances; progress, and at the end what became of it."""
        return self._loop.iterate(self._destinations.send(destination, names, request_id=request_id))

    def failed(self, destination: str = "") -> Sequence[FailedSend]:
        """What a destination (empty: any) has not taken, newest first."""
        return self._loop.run(self._destinations.failed(destination))

    def retry(self, failed: str | FailedSend) -> FailedSend | None:
        """Try a failed send again now; None: it was sent."""
        return self._loop.run(self._destinations.retry(failed))

    def drop(self, failed: str | FailedSend) -> None:
        """Take a failed send off the list."""
        self._loop.run(self._destinations.drop(failed))


async def _open(
    endpoints: str | Mapping[str, str] | None, settings: Settings | None, patience: Patience | None, source: str
) -> AsyncClient:
    # Channels belong to the loop that they are made in.
    return AsyncClient(endpoints, settings=settings, patience=patience, source=source)
