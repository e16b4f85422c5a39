"""`imaging serve SERVICE`: one service in this process."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from imaging.cli.options import ConfigOption, DataOption, InsecureFlag, JsonFlag, SetOption, settings_from
from imaging.errors import ImagingError, SettingsInvalid

if TYPE_CHECKING:
    from imaging.settings import ServiceName


def serve(
    service: Annotated[str, typer.Argument(help="storage, processing, analysis, reporting, pipeline or gateway.")],
    address: Annotated[str | None, typer.Option("--address", help="host:port to listen on.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    insecure: InsecureFlag = False,
    as_json: JsonFlag = False,
    parent_pid: Annotated[int | None, typer.Option("--parent-pid", hidden=True)] = None,
) -> None:
    """Serve one service until Ctrl-C or SIGTERM, then drain. Logs are JSON lines on standard error."""
    import uvloop

    from imaging.settings import SERVICE_NAMES
    from imaging.supervisor.allocator import give_memory_back
    from imaging.supervisor.death_signal import die_with_parent
    from imaging.supervisor.service_main import run_service

    give_memory_back()
    if parent_pid is not None:
        die_with_parent(parent_pid)
    if service not in SERVICE_NAMES:
        raise SettingsInvalid(
            f"there is no service `{service}`", where="SERVICE", hint=f"It is one of: {', '.join(SERVICE_NAMES)}."
        )
    name = cast("ServiceName", service)
    assignments = [*(assignments or []), *([f"{name}.address={address}"] if address else [])]
    settings = settings_from(config, data, assignments, insecure=insecure)

    def on_ready(listening: str) -> None:
        facts: dict[str, Any] = {"service": name, "address": listening}
        sys.stdout.write((json.dumps(facts) if as_json else f"{name} serves on {listening}") + "\n")
        sys.stdout.flush()

    try:
        uvloop.run(run_service(name, settings, on_ready))
    except ImagingError as error:
        # The supervisor reads logs, people read the error that `main` prints.
        logging.getLogger(__name__).error(error.text, extra={"reason": error.reason})
        raise
