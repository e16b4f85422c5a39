"""`imaging doctor`: is this machine fit, and do the services run?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from imaging.cli.exit_codes import ExitCode
from imaging.cli.options import ConfigOption, DataOption, EndpointOption, JsonFlag, settings_from
from imaging.cli.output import Output
from imaging.cli.printable import printable

if TYPE_CHECKING:
    from imaging.cli.check import Check

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check ports, disk, durable writes, databases, S3 bucket, codecs and versions. Exit code 1 if something failed."""
    import asyncio

    from imaging.cli.codec_checks import codec_checks
    from imaging.cli.database_checks import database_checks
    from imaging.cli.machine_checks import disk_checks, port_checks, version_checks
    from imaging.cli.object_store_checks import object_store_checks
    from imaging.client.endpoints import resolve_endpoints

    output = Output(as_json=as_json)
    settings = settings_from(config, data)
    endpoints = resolve_endpoints(endpoint, settings)

    async def work() -> list[Check]:
        ports = await port_checks(endpoints, settings.channel())
        places = [*disk_checks(settings.data_dir), *database_checks(settings), *object_store_checks(settings)]
        return [*ports, *places, *await codec_checks(), *version_checks()]

    checks = asyncio.run(work())
    failed = [check for check in checks if check.state == "failed"]
    if as_json:
        for check in checks:
            output.result(asdict(check))
        output.result({"summary": {"checks": len(checks), "failed": len(failed)}})
    else:
        rows = [
            (check.group, check.name, Text(check.state, style=_STYLES[check.state]), _text(check)) for check in checks
        ]
        output.table("", ("", "check", "state", "found"), rows)
        output.say(
            f"{len(failed)} of {len(checks)} checks failed" if failed else "all well", "red" if failed else "green"
        )
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.OK)


def _text(check: Check) -> str:
    return printable(f"{check.found}. {check.hint}" if check.hint else check.found, 500)
