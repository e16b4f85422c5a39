"""`imaging restore`: a data folder laid from its backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imaging.cli.backup import tell_copied
from imaging.cli.options import ConfigOption, DataOption, JsonFlag, SetOption, settings_from


def restore(
    backup: Annotated[Path, typer.Argument(help="Folder that `imaging backup` wrote.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Lay an empty data folder from a backup; no service may run on it."""
    from imaging.supervisor.backup import restore as lay

    settings = settings_from(config, data, assignments)
    tell_copied(lay(backup, settings.data_dir), settings.data_dir, as_json=as_json)
