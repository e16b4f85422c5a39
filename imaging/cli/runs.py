"""`imaging runs`: start, list, show, watch, retry, cancel."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from imaging.cli.amounts import seconds_text
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.cli.printable import printable

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.run_results import ObjectCheck, Run, Stage

runs = typer.Typer(no_args_is_help=True, help="Runs of recipes on complete studies.")

_STYLES = {"SUCCEEDED": "green", "FAILED": "bold red", "CANCELLED": "yellow", "SKIPPED": "cyan", "RUNNING": "bold"}

RunArgument = Annotated[str, typer.Argument(help="runs/ID, or the ID.")]


@runs.command("list")
@connected
async def list_runs(
    client: AsyncClient,
    output: Output,
    study: Annotated[str, typer.Option("--study", help="Only those of this study.")] = "",
) -> int:
    """List runs, newest first."""
    found = await client.runs.list(study)
    if output.as_json:
        for run in found:
            output.result(asdict(run))
    else:
        columns = ("run", "study", "version>", "recipe", "state", "stages", "time>", "reason")
        if found:
            output.table("", columns, [_row(run) for run in found])
        else:
            output.say("no runs", "yellow")
    return ExitCode.OK


@runs.command()
@connected
async def show(
    client: AsyncClient,
    output: Output,
    run: RunArgument,
) -> int:
    """Show a run with its stages, their errors and refusals."""
    return _told(await client.runs.get(run), output)


@runs.command()
@connected
async def retry(
    client: AsyncClient,
    output: Output,
    run: RunArgument,
) -> int:
    """Take a failed or cancelled run up again at the stage where it ended."""
    return _told(await client.runs.retry(run), output)


@runs.command()
@connected
async def cancel(
    client: AsyncClient,
    output: Output,
    run: RunArgument,
) -> int:
    """End a run and the stage that it is in."""
    return _told(await client.runs.cancel(run), output)


@runs.command()
@connected
async def watch(
    client: AsyncClient,
    output: Output,
    target: Annotated[str, typer.Argument(help="runs/ID, or studies/UID for the newest run of a study.")],
) -> int:
    """Follow a run until it has ended. Exit code 1 when it failed or was cancelled."""
    return await _follow(client, target, output)


@runs.command()
@connected
async def start(
    client: AsyncClient,
    output: Output,
    study: Annotated[str, typer.Argument(help="studies/UID, or the UID of a complete study.")],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Its name; empty: the first that fits.")] = "",
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow it until it has ended.")] = True,
) -> int:
    """Start a run of a recipe on a complete study. A recipe that ran on this state of the study is not run again."""
    run = await client.runs.create(study, recipe)
    if follow:
        return await _follow(client, run, output)
    return _told(run, output)


async def _follow(client: AsyncClient, target: str | Run, output: Output) -> int:
    """Tell every change of a run until it has ended."""
    last: Run | None = None
    async for run in client.runs.watch(target):
        if output.as_json:
            output.result(asdict(run))
        else:
            for stage in run.stages:
                before = next((s for s in last.stages if s.name == stage.name), None) if last else None
                if before is None or before.state != stage.state or before.message != stage.message:
                    output.say(_stage_line(stage), _STYLES.get(stage.state, "dim"))
        last = run
    if last is None:
        return ExitCode.UNAVAILABLE
    if not output.as_json:
        _show(last, output)
    return ExitCode.OK if last.state in ("SUCCEEDED", "SKIPPED") else ExitCode.SOME_FAILED


def _told(run: Run, output: Output) -> int:
    if output.as_json:
        output.result(asdict(run))
    else:
        _show(run, output)
    return ExitCode.OK


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state.lower(), style=_STYLES.get(state, "dim"))


def check_text(check: ObjectCheck) -> str:
    """What was compared of the objects of a stage, in a line."""
    from pydicom.uid import UID  # pydicom takes long to import

    name = UID(check.sop_class_uid).name.removesuffix(" Storage")
    rules = ", ".join(f"{count} {rule}" for rule, count in check.compared.items())
    deviation = check.largest_deviation_mm
    within = "" if deviation is None else f"; at most {deviation:.4f} mm off"
    return f"checked {check.object_count} x {name}: {rules}{within}"


def _row(run: Run) -> tuple[object, ...]:
    done = sum(stage.state in ("SUCCEEDED", "SKIPPED") for stage in run.stages)
    study = run.study.removeprefix("studies/")
    recipe = f"{run.recipe} {run.recipe_version}" if run.recipe else "-"
    stages = f"{done}/{len(run.stages)}"
    return (
        run.name.removeprefix("runs/"), study, run.manifest_version, recipe, state_text(run.state), stages,
        seconds_text(run.seconds), run.reason,
    )  # fmt: skip


def _stage_line(stage: Stage) -> str:
    amount = f" {stage.done}/{stage.total} {stage.unit}" if stage.total else ""
    return f"{stage.name:<28} {stage.state.lower():<10}{amount} {stage.message}".rstrip()


def _show(run: Run, output: Output) -> None:
    columns = ("stage", "algorithm", "state", "attempts>", "findings>", "time>", "note")
    rows = []
    for stage in run.stages:
        ended = stage.end_time is not None and stage.start_time is not None
        seconds = (stage.end_time - stage.start_time).total_seconds() if ended else None  # type: ignore[operator]
        refusals = (f"{item.subject}: {item.message} {item.hint}".strip() for item in stage.refusals)
        notes = [stage.error, *refusals, *map(check_text, stage.checks)]
        note = Text("\n".join(printable(text, 500) for text in notes if text))
        algorithm = stage.algorithm or stage.uses
        rows.append(
            (
                stage.name,
                algorithm,
                state_text(stage.state),
                stage.attempts,
                stage.finding_count,
                seconds_text(seconds),
                note,
            )
        )
    recipe = f"{run.recipe} {run.recipe_version}" if run.recipe else "no recipe"
    output.table(f"{run.name}: {recipe} on {run.study}, version {run.manifest_version}", columns, rows)
    summary = Text(f"state {run.state.lower()}", style=_STYLES.get(run.state, ""))
    for label, value in (
        ("", run.reason),
        ("report ", run.report),
        ("superseded by ", run.superseded_by),
        ("trace ", run.trace_id),
    ):
        if value:
            summary += Text(f"; {label}{printable(value, 500)}", style="default")
    output.console.print(summary)
