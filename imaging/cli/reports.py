"""`imaging reports`: list the versions, make one final."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.cli.printable import printable

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.run_results import Report

reports = typer.Typer(no_args_is_help=True, help="Versions of reports: draft, final, amended.")

_COLUMNS = ("report", "study", "version>", "state", "findings>", "by", "replaces")


@reports.command("list")
@connected
async def list_reports(
    client: AsyncClient,
    output: Output,
    study: Annotated[str, typer.Option("--study", help="Only those of this study.")] = "",
) -> int:
    """List reports, newest first."""
    found = await client.reports.list(study)
    if output.as_json:
        for report in found:
            output.result(asdict(report))
    elif found:
        output.table("", _COLUMNS, [_row(report) for report in found])
    else:
        output.say("no reports", "yellow")
    return ExitCode.OK


@reports.command()
@connected
async def finalize(
    client: AsyncClient,
    output: Output,
    report: Annotated[str, typer.Argument(help="reports/ID, or the ID.")],
    observer: Annotated[str, typer.Option("--by", help="Who stands for it, as Family^Given.")],
    organization: Annotated[str, typer.Option("--organization", help="That the person answers for.")],
) -> int:
    """Make a version of a report final: it never changes from then on. A later one amends it."""
    final = await client.reports.finalize(report, observer=observer, organization=organization)
    if output.as_json:
        output.result(asdict(final))
    else:
        output.table("", _COLUMNS, [_row(final)])
    return ExitCode.OK


def _row(report: Report) -> tuple[object, ...]:
    by = report.verification
    return (
        report.name.removeprefix("reports/"),
        report.study.removeprefix("studies/"),
        report.version,
        report.state.lower(),
        report.finding_count,
        printable(f"{by.observer}, {by.organization}") if by else "",
        report.replaces.removeprefix("reports/"),
    )
