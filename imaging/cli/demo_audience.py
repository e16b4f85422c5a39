"""The demonstration on a terminal, or as JSON lines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

from imaging.cli.amounts import seconds_text, size_text
from imaging.cli.file_lines import name_if_not_stored, tell_hints
from imaging.cli.output import Output
from imaging.cli.page_url import page_url
from imaging.cli.printable import printable
from imaging.cli.runs import state_text
from imaging.cli.store import file_facts
from imaging.client.results import StoreProgress
from imaging.client.run_results import Run
from imaging.demo.demonstration import Outcome
from imaging.demo.study_result import StudyResult
from imaging.settings import Settings
from imaging.supervisor.event import Event, EventKind
from imaging.unit_text import unit_text

_MOST_ROWS = 20
"""Runs shown while they go; the final table has all."""

_MOST_REASONS = 25
"""Reasons told on the terminal; the summary has all."""


class DemoAudience:
    """Shows the demonstration. A context manager: the live table ends with it."""

    def __init__(self, output: Output, out: Path, settings: Settings, *, stay: bool) -> None:
        self._output = output
        self._out = out
        self._settings = settings
        self._stay = stay
        self._live: Live | None = None
        self._told: dict[str, str] = {}
        self._rejected = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_live()

    def on_step(self, text: str) -> None:
        """A new part begins."""
        self._end_live()
        if self._output.as_json:
            self._output.progress({"step": text})
        else:
            self._output.say(text, "bold")

    def on_service(self, event: Event) -> None:
        """Told only when something is wrong."""
        if event.kind not in (EventKind.DIED, EventKind.CRASH_LOOP, EventKind.LOGGED_ERROR):
            return
        if self._output.as_json:
            self._output.progress({"event": event.kind.value, "service": event.service, "text": event.text})
        else:
            self._output.say(f"{event.service} {event.kind.value}: {event.text}", "yellow")

    def on_stored(self, progress: StoreProgress) -> None:
        """A file has its result; bad ones are named at once."""
        newest = progress.newest
        if newest is None:
            return
        self._rejected += newest.error is not None
        if not self._output.as_json:
            name_if_not_stored(newest, self._output)
        elif newest.error is not None or newest.note:
            self._output.progress(file_facts(newest))
        if progress.files_done == progress.files_total:
            text = f"{progress.files_total} files, {size_text(progress.bytes_total)}, {self._rejected} rejected"
            if self._output.as_json:
                self._output.progress({"files": progress.files_total, "rejected": self._rejected})
            else:
                self._output.say(text, "dim")

    def on_runs(self, studies: Mapping[str, str], runs: Mapping[str, Run]) -> None:
        """A live table on a terminal; elsewhere one line a change."""
        if self._output.shows_progress:
            if self._live is None:
                self._live = Live(console=self._output.messages, transient=True, refresh_per_second=4)
                self._live.start()
            self._live.update(_progress_table(studies, runs))
            return
        for study, folder in studies.items():
            run = runs.get(study)
            told = run.state if run else "WAITING"
            if self._told.get(study) != told:
                self._told[study] = told
                if self._output.as_json:
                    self._output.progress({"study": folder, "state": told})
                elif run is not None:
                    self._output.say(f"{folder}  {told.lower()}")

    async def on_end(self, outcome: Outcome, endpoints: Mapping[str, str]) -> None:
        """The final tables; then, with --stay, until Ctrl-C."""
        self._end_live()
        if self._output.as_json:
            self._tell_json(outcome)
        else:
            self._tell_tables(outcome)
        if self._stay:
            self._output.result({"endpoints": dict(endpoints)})
            if "http" in endpoints:
                self._output.say(f"web page: {page_url(self._settings, endpoints)}", "bold")
            self._output.say("the services go on; Ctrl-C ends them", "bold")
            await asyncio.Event().wait()

    def _tell_reasons(self, outcome: Outcome) -> None:
        """Why there is no report, and why something was not measured: one line a reason, with the studies it is for."""
        reasons: dict[str, list[str]] = {}
        for study in outcome.studies:
            if study.reason:
                reasons.setdefault(f"no report: {study.reason}", []).append(study.folder)
            for stage in study.run.stages if study.run else ():
                if stage.kind == "report":
                    continue  # it repeats what the others refused
                for refusal in stage.refusals:
                    reasons.setdefault(f"{refusal.subject} not done: {refusal.message}", []).append(study.folder)
        for reason, folders in list(reasons.items())[:_MOST_REASONS]:
            named = ", ".join(dict.fromkeys(folders))
            self._output.console.print(Text(f"  {printable(named, 60)}: {printable(reason, 400)}", style="dim"))
        if len(reasons) > _MOST_REASONS:
            self._output.console.print(Text(f"  … {len(reasons) - _MOST_REASONS} more in summary.json", style="dim"))

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _tell_json(self, outcome: Outcome) -> None:
        for study in outcome.studies:
            facts = study.facts()
            facts["findings"] = len(study.findings)
            self._output.result(facts)
        summary = {"good": outcome.is_good, "seconds": round(outcome.seconds, 1), "out": str(self._out)}
        self._output.result({"summary": {**summary, "rejected": len(outcome.stored.rejected)}})

    def _tell_tables(self, outcome: Outcome) -> None:
        columns = ("study", "recipe", "stages", "state", "findings>", "refused>", "time>")
        if outcome.studies:
            self._output.table("Studies", columns, [_study_row(study) for study in outcome.studies])
        self._tell_reasons(outcome)
        if outcome.comparisons:
            self._output.console.print()
            rows = [
                (
                    item.name,
                    f"{item.truth:.2f}",
                    "-" if item.measured is None else f"{item.measured:.2f}",
                    unit_text(item.unit),
                    "-" if item.difference is None else f"{item.difference:+.2f}",
                    _verdict(item.is_within, item.tolerance),
                )
                for item in outcome.comparisons
            ]
            self._output.table("Phantom", ("measure", "truth>", "measured>", "unit", "difference>", ""), rows)
        self._output.console.print()
        tell_hints(outcome.stored.rejected, self._output)
        reports = sum(study.report is not None for study in outcome.studies)
        skipped, rejected = len(outcome.stored.skipped), len(outcome.stored.rejected)
        self._output.console.print(
            Text(
                f"{len(outcome.studies)} studies, {reports} reports, {rejected} files rejected, {skipped} skipped, "
                f"in {seconds_text(outcome.seconds)}; results in {printable(str(self._out))}"
            )
        )
        reported = [study for study in outcome.studies if study.report is not None]
        if reported:
            richest = max(reported, key=lambda study: len(study.findings))
            first = self._out / richest.folder / "report.html"
            self._output.console.print(Text(f"Look first at {printable(str(first))}", style="bold"))


def _progress_table(studies: Mapping[str, str], runs: Mapping[str, Run]) -> Table:
    table = Table(box=None, header_style="bold")
    for column in ("study", "state", "stages", "now"):
        table.add_column(column)
    # What is going on first, then what waits, then what has ended.
    places = {"RUNNING": 0, "PENDING": 1}
    order = sorted(studies, key=lambda name: places.get(runs[name].state, 2) if name in runs else 1)
    for name in order[:_MOST_ROWS]:
        run = runs.get(name)
        if run is None:
            table.add_row(studies[name], "waiting", "", "")
            continue
        stage = next((stage for stage in run.stages if stage.state == "RUNNING"), None)
        amount = f" {stage.done}/{stage.total} {stage.unit}" if stage is not None and stage.total else ""
        now = Text(printable(f"{stage.uses}{amount} {stage.message}", 80)) if stage is not None else Text("")
        done = sum(item.state in ("SUCCEEDED", "SKIPPED") for item in run.stages)
        table.add_row(studies[name], state_text(run.state), f"{done}/{len(run.stages)}", now)
    if len(order) > _MOST_ROWS:
        ended = sum(run.has_ended for run in runs.values())
        table.add_row(f"… {len(order) - _MOST_ROWS} more", f"{ended} ended", "", "")
    return table


def _study_row(study: StudyResult) -> tuple[object, ...]:
    run = study.run
    if run is None:
        return (study.folder, "-", "-", "none", 0, 0, "-")
    done = sum(stage.state in ("SUCCEEDED", "SKIPPED") for stage in run.stages)
    return (
        study.folder,
        f"{run.recipe} {run.recipe_version}" if run.recipe else "-",
        f"{done}/{len(run.stages)}",
        state_text(run.state),
        len(study.findings),
        sum(len(stage.refusals) for stage in run.stages if stage.kind != "report"),
        seconds_text(run.seconds),
    )


def _verdict(is_within: bool | None, tolerance: float | None) -> Text:
    if is_within is None or tolerance is None:
        return Text("")
    if is_within:
        return Text(f"within {tolerance:.2f}", style="green")
    return Text(f"not within {tolerance:.2f}", style="bold red")
