"""`imaging front`: what a Traefik in front of the services is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from imaging.cli.options import ConfigOption, DataOption, InsecureFlag, JsonFlag, SetOption, settings_from
from imaging.cli.output import Output


def front(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write traefik.yaml and routes.yaml.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    insecure: InsecureFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Write the configuration of the one port for a Traefik that you run: traefik --configFile=FOLDER/traefik.yaml.

    `imaging up` does so by itself. Addresses are those of the settings, where the services are reached.
    """
    from imaging.front.program import write_configuration

    settings = settings_from(config, data, assignments, insecure=insecure)
    settings.check_front()
    entry_file = write_configuration(settings, out.absolute(), os.environ)
    output = Output(as_json=as_json)
    if as_json:
        output.result({"entry": str(entry_file)})
    else:
        output.say(f"traefik --configFile={entry_file}")
