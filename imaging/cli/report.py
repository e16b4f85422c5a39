"""`imaging report STUDY`: the documents of a study's report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.amounts import size_text
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.errors import NotFound

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient


@connected
async def report(
    client: AsyncClient,
    output: Output,
    study: Annotated[str, typer.Argument(help="studies/UID or the UID of a study; reports/ID for a certain version.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("report"),
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the newest run of the study has ended.")] = False,
) -> int:
    """Write the newest report of a study (PDF, HTML, DICOM SR, key images, JSON) to a folder."""
    name = study if "/" in study else f"studies/{study}"
    if wait and name.startswith("studies/"):
        state = ""
        async for run in client.runs.watch(name):
            if run.state != state:
                state = run.state
                output.say(f"run {state.lower()}", "dim")
    if name.startswith("reports/"):
        found = await client.reports.get(name)
    else:
        reports = await client.reports.list(name)
        if not reports:
            await client.study(name)  # an unknown study is told as such
            runs = await client.runs.list(name)
            why = f"its run {runs[0].state.lower()}: {runs[0].reason}" if runs else "it has no run yet"
            raise NotFound(
                f"The study has no report; {why}",
                where=name,
                hint="`imaging runs list` shows the runs, --wait waits.",
            )
        found = reports[0]
    files = await client.reports.download(found, out)
    if output.as_json:
        output.result({**asdict(found), "files": [str(file) for file in files]})
    else:
        rows = [(file, size_text(file.stat().st_size)) for file in files]
        title = f"{found.name}, version {found.version}, {found.finding_count} findings"
        output.table(title, ("file", "size>"), rows)
    return ExitCode.OK
