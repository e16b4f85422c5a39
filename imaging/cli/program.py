"""The program `imaging`: its commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import inspect
import os
import sys
from importlib import import_module, metadata
from typing import Annotated, Any

import typer

from imaging.cli.exit_codes import ExitCode, exit_code_of
from imaging.errors import ImagingError, Internal

app = typer.Typer(
    name="imaging",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",  # the help texts hold no square brackets, which it would take for markup
    help="DICOM in, finished reports out.\n\nExit codes: 0 ok, 1 some items failed, 2 usage or settings, "
    "3 unavailable, 4 not found, 5 refused by state, 6 no room, 7 not allowed, 8 data loss, 9 timeout, 70 defect, "
    "130 Ctrl-C.",
)

_COMMANDS = ("up", "serve", "demo", "store", "search", "retrieve", "report", "doctor")


def _command(name: str) -> Any:
    return getattr(import_module(f"imaging.cli.{name}"), name)


def _help_text(command: Any) -> str:
    """The docstring with one line a paragraph: the terminal wraps it, not the source."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _name in _COMMANDS:
    app.command(_name, help=_help_text(_command(_name)))(_command(_name))
app.add_typer(_command("runs"), name="runs")


def _tell_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(metadata.version("imaging-pipeline") + "\n")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version and end.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the process ends with one of `ExitCode`."""
    from imaging.cli.output import print_error

    as_json = "--json" in sys.argv
    debug = os.environ.get("IMAGING_DEBUG") == "1"
    try:
        app()
    except ImagingError as error:
        if debug:
            raise
        print_error(error, as_json=as_json)
        code = exit_code_of(error)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, e.g. `head`. Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.OK
    except Exception as error:
        if debug:
            raise
        defect = Internal(
            f"A defect of ours: {type(error).__name__}",
            hint="Run it again with IMAGING_DEBUG=1 for the details, and please report them.",
        )
        print_error(defect, as_json=as_json)
        code = ExitCode.DEFECT
    sys.exit(int(code))
