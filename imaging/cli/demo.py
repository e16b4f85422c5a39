"""`imaging demo [PATH]`: DICOM in, finished reports out, on services of its own or on those that run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.exit_codes import ExitCode
from imaging.cli.options import ConfigOption, JsonFlag, SetOption, settings_from
from imaging.cli.output import Output

if TYPE_CHECKING:
    from imaging.demo.demonstration import Outcome


def demo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Your own files or folders; default: images of pydicom and a phantom."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("demo-out"),
    stay: Annotated[bool, typer.Option("--stay", help="Keep the services running afterwards, until Ctrl-C.")] = False,
    running: Annotated[
        bool,
        typer.Option("--running", help="Use the services that run where the settings say, instead of starting some."),
    ] = False,
    no_phantom: Annotated[
        bool, typer.Option("--no-phantom", help="Without a PATH, send the images of pydicom alone.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the services' data in OUT/.data.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Minutes to wait for the runs.")] = 30.0,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Start the services, send the images in, wait for the runs, and write reports, segmentations and pictures.

    OUT/<study>/ holds report.pdf, report.html, report.sr.dcm, *.seg.dcm and key-image-N.png; OUT/summary.json tells
    everything.

    Exit code 0 when every study got a report, or a stated reason for having none.
    """
    from imaging.cli.demo_audience import DemoAudience
    from imaging.demo.demonstration import demonstrate

    settings = settings_from(config, None, assignments)

    async def work() -> Outcome:
        with DemoAudience(Output(as_json=as_json), out, settings, stay=stay) as audience:
            return await demonstrate(
                tuple(paths or ()),
                out,
                audience,
                settings,
                running=running,
                with_phantom=not no_phantom,
                keep=keep or stay,
                timeout=timedelta(minutes=timeout),
            )

    outcome = asyncio.run(work())
    raise typer.Exit(ExitCode.OK if outcome.is_good else ExitCode.SOME_FAILED)
