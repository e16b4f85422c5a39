"""The demonstration from beginning to end: services, input, runs, results."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from imaging.client.async_client import AsyncClient
from imaging.client.endpoints import resolve_endpoints
from imaging.client.results import StoreProgress, StoreSummary, Study
from imaging.client.run_results import Run
from imaging.demo.folders import SUMMARY_FILE, WORK_FOLDER, prepare_output, study_folder
from imaging.demo.input_files import generated_phantom, pydicom_images
from imaging.demo.output_files import write_report, write_segmentations
from imaging.demo.run_waiting import wait_for_runs
from imaging.demo.study_result import StudyResult
from imaging.demo.truth_check import PHANTOM_STUDY_DESCRIPTION, Comparison, compare
from imaging.errors import ImagingError
from imaging.phantom.ct_chest import DEFAULT_SPACING_MM
from imaging.phantom.truth import PhantomTruth
from imaging.settings import Settings
from imaging.supervisor.event import Event
from imaging.supervisor.supervisor import Supervisor


class Audience(Protocol):
    """Who is shown what happens."""

    def on_step(self, text: str) -> None:
        """A new part begins."""

    def on_service(self, event: Event) -> None:
        """Something happened to a service."""

    def on_stored(self, progress: StoreProgress) -> None:
        """A file has its result."""

    def on_runs(self, studies: Mapping[str, str], runs: Mapping[str, Run]) -> None:
        """How far the runs are; `studies` gives the folder of each study by its name."""

    async def on_end(self, outcome: Outcome, endpoints: Mapping[str, str]) -> None:
        """All is written; the services run until this returns."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out."""

    studies: tuple[StudyResult, ...]
    stored: StoreSummary
    comparisons: tuple[Comparison, ...]
    """Of the phantom; empty when it was not sent in."""

    seconds: float

    @property
    def is_good(self) -> bool:
        """True when something was stored and every study got a report or a stated reason."""
        return bool(self.studies) and all(study.is_settled for study in self.studies)


async def demonstrate(
    paths: tuple[Path, ...],
    out: Path,
    audience: Audience,
    settings: Settings,
    *,
    running: bool = False,
    with_phantom: bool = True,
    keep: bool = False,
    timeout: timedelta = timedelta(minutes=30),
) -> Outcome:
    """Run the whole way; results are in `out` afterwards.

    Parameters
    ----------
    paths
        Files and folders; none: images that pydicom carries, and the phantom.
    running
        Use the services that run where the settings say, and leave there what was stored; otherwise start some that
        last as long as this.
    with_phantom
        Without `paths`, send the phantom in as well.
    keep
        Leave what the services kept below `out`. It is left anyway when something went wrong.
    timeout
        For the runs of all studies together.
    """
    began = time.monotonic()
    prepare_output(out)
    work = out / WORK_FOLDER
    good = False
    try:
        truth = None
        if not paths:
            paths = tuple(pydicom_images())
            if with_phantom:
                audience.on_step("generating the CT phantom")
                truth = await asyncio.to_thread(generated_phantom, work / "phantom")
                paths = (*paths, work / "phantom")
        async with _services(settings, running, work.absolute(), audience) as endpoints:
            async with AsyncClient(endpoints, settings=settings, source="imaging-demo") as client:
                outcome = await _send_and_collect(client, paths, out, audience, truth, timeout)
            outcome = replace(outcome, seconds=time.monotonic() - began)
            await asyncio.to_thread(_write_summary, out, outcome)
            await audience.on_end(outcome, endpoints)
        good = outcome.is_good
        return outcome
    finally:
        if good and not keep:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)


@asynccontextmanager
async def _services(
    settings: Settings, running: bool, work: Path, audience: Audience
) -> AsyncIterator[Mapping[str, str]]:
    """The addresses of services of our own, or of those that the settings name."""
    if running:
        yield dict(resolve_endpoints(None, settings).items())
        return
    own = settings.model_copy(
        update={
            "data_dir": work,
            # Studies are completed by CompleteStudy here: half of one must not start a run while the rest is sent.
            "storage": settings.storage.model_copy(update={"quiet_time_seconds": 600.0}),
        }
    )
    audience.on_step("starting the services")
    async with Supervisor(own, port_base=0, on_event=audience.on_service) as supervisor:
        yield supervisor.addresses


async def _send_and_collect(
    client: AsyncClient,
    paths: tuple[Path, ...],
    out: Path,
    audience: Audience,
    truth: PhantomTruth | None,
    timeout: timedelta,
) -> Outcome:
    audience.on_step("storing")
    stored = await client.store(paths, progress=audience.on_stored)
    studies = [await client.study(name) for name in stored.studies]
    folders = {study.name: study_folder(study) for study in studies}
    audience.on_step("waiting for the runs")
    reasons: dict[str, str] = {}
    for study in studies:
        try:
            await client.storage.complete_study(study.name)
        except ImagingError as error:
            reasons[study.name] = error.text
    waited_for = [name for name in folders if name not in reasons]
    runs = await wait_for_runs(client, waited_for, lambda now: audience.on_runs(folders, now), timeout)
    audience.on_step("writing the results")
    results = tuple(
        [await _collect(client, study, folders[study.name], runs.get(study.name), reasons, out) for study in studies]
    )
    comparisons: tuple[Comparison, ...] = ()
    if truth is not None:
        phantom = next((item for item in results if item.study.description == PHANTOM_STUDY_DESCRIPTION), None)
        comparisons = tuple(compare(truth, phantom.findings if phantom else (), max(DEFAULT_SPACING_MM)))
    return Outcome(results, stored, comparisons, 0.0)


async def _collect(
    client: AsyncClient, study: Study, folder: str, run: Run | None, reasons: Mapping[str, str], out: Path
) -> StudyResult:
    reason = reasons.get(study.name, "") or _reason(run)
    if run is None:
        return StudyResult(study, folder, None, None, (), (), reason)
    report, files = None, []
    try:
        findings = tuple(await client.findings(run=run))
        files += await write_segmentations(client, run, out / folder)
        if run.report:
            report = await client.reports.get(run.report)
            files += await write_report(client, report, out / folder)
    except ImagingError as error:
        reason, report = f"The results cannot be read: {error.text}", None
        findings = ()
    names = tuple(str(file.relative_to(out)) for file in files)
    return StudyResult(study, folder, run, report, findings, names, "" if report else reason)


def _reason(run: Run | None) -> str:
    if run is None:
        return "No run was started for it"
    failed = next((stage for stage in run.stages if stage.state == "FAILED"), None)
    return run.reason or (f"{failed.name}: {failed.error}" if failed else "") or f"Its run is {run.state.lower()}"


def _write_summary(out: Path, outcome: Outcome) -> None:
    facts: dict[str, Any] = {
        "good": outcome.is_good,
        "seconds": round(outcome.seconds, 1),
        "studies": [study.facts() for study in outcome.studies],
        "input": {
            "stored": len(outcome.stored.stored),
            "size_bytes": outcome.stored.size_bytes,
            "rejected": [
                {"path": str(file.path), "reason": file.error.reason, "text": file.error.text}
                for file in outcome.stored.rejected
                if file.error is not None
            ],
            "skipped": [{"path": str(file.path), "note": file.note} for file in outcome.stored.skipped],
        },
        "phantom": [
            {
                "measure": item.name,
                "unit": item.unit,
                "truth": item.truth,
                "measured": item.measured,
                "difference": item.difference,
                "tolerance": item.tolerance,
                "within": item.is_within,
            }
            for item in outcome.comparisons
        ],
    }
    (out / SUMMARY_FILE).write_text(json.dumps(facts, indent=2) + "\n")
