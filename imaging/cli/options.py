"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.errors import SettingsInvalid

if TYPE_CHECKING:
    from imaging.settings import Settings

JsonFlag = Annotated[bool, typer.Option("--json", help="Write JSON lines, also on a terminal.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file (TOML); IMAGING_* variables and flags win over it.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder; default: ./imaging-data.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. storage.quiet_time_seconds=2; may be repeated."),
]
InsecureFlag = Annotated[
    bool, typer.Option("--insecure", help="Allow addresses other than loopback without TLS and token.")
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="HOST:PORT",
        help="Storage service; the others follow on the next ports, as `imaging up --port-base` lays them out.",
    ),
]


def settings_from(
    config: Path | None = None,
    data: Path | None = None,
    assignments: list[str] | None = None,
    *,
    insecure: bool = False,
) -> Settings:
    """The settings that the flags, the environment and the file make together.

    Raises
    ------
    SettingsInvalid
        Naming the flag, variable or line.
    """
    from imaging.settings import load_settings  # its import builds every section, which --help does not need

    overrides: dict[str, Any] = {}
    for assignment in assignments or []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsInvalid(
                f"`{assignment}` has no value",
                where="--set",
                hint="Write it as KEY=VALUE, e.g. storage.quiet_time_seconds=2.",
            )
        overrides[name.strip()] = value.strip()
    if data is not None:
        overrides["data_dir"] = data
    if insecure:
        overrides["security.insecure"] = True
    return load_settings(config, None, overrides)
