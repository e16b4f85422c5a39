"""The commands of the program `imaging`."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module, metadata
from typing import Annotated, Any

import typer

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

_COMMANDS = ("up", "serve", "front", "demo", "store", "search", "retrieve", "report", "backup", "restore", "doctor")


def _command(name: str) -> Any:
    return getattr(import_module(f"imaging.cli.{name}"), name)


def _help_text(command: Any) -> str:
    """The docstring with one line a paragraph: the terminal wraps it, not the source."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _name in _COMMANDS:
    app.command(_name, help=_help_text(_command(_name)))(_command(_name))
for _name in ("runs", "reports", "alerts", "destinations", "storage", "db"):
    app.add_typer(_command(_name), name=_name)


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
