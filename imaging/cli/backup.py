"""`imaging backup`: a copy of the data folder of one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.amounts import size_text
from imaging.cli.options import ConfigOption, DataOption, JsonFlag, SetOption, settings_from
from imaging.cli.output import Output

if TYPE_CHECKING:
    from imaging.supervisor.backup import Copied


def backup(
    into: Annotated[Path, typer.Argument(help="Folder of the copy; one of an earlier backup gets what is new.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy databases and objects of a data folder; the services may run.

    Tables in PostgreSQL and objects in a bucket are backed up by their own means: docs/operations.md.
    """
    from imaging.supervisor.backup import back_up

    settings = settings_from(config, data, assignments)
    tell_copied(back_up(settings.data_dir, into), into, as_json=as_json)


def tell_copied(copied: Copied, into: Path, *, as_json: bool) -> None:
    """Say what was copied."""
    output = Output(as_json=as_json)
    if as_json:
        facts = {"databases": copied.databases, "objects": copied.objects, "size_bytes": copied.size_bytes}
        output.result({"folder": str(into), **facts})
    else:
        amount = f"{copied.databases} databases and {copied.objects} objects ({size_text(copied.size_bytes)})"
        output.say(f"{amount} copied into {into}")
