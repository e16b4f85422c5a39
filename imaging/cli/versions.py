"""`imaging storage versions`: list, fetch, restore."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.amounts import size_text
from imaging.cli.change_each import ReasonOption, change_each
from imaging.cli.connection import with_client
from imaging.cli.exit_codes import ExitCode
from imaging.cli.fetch_object import OutOption, fetch_object
from imaging.cli.options import ConfigOption, DataOption, EndpointOption, JsonFlag
from imaging.cli.output import Output

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.kept_versions import InstanceVersion

versions = typer.Typer(no_args_is_help=True, help="The versions of an instance: list them, look at them, go back.")

VersionArgument = Annotated[str, typer.Argument(help="studies/UID/series/UID/instances/UID/versions/NUMBER.")]


@versions.command("list")
def list_versions(
    instance: Annotated[str, typer.Argument(help="studies/UID/series/UID/instances/UID.")],
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List the versions of an instance that are kept, newest first, and which one is served."""
    output = Output(as_json=as_json)

    async def work(client: AsyncClient) -> int:
        found = [version async for version in client.storage_admin.versions(instance)]
        if output.as_json:
            for version in found:
                output.result(asdict(version))
        else:
            columns = ("version>", "served", "since (UTC)", "reason", "size>", "source", "run", "condition", "sha256")
            output.table(instance, columns, map(_row, found))
        return ExitCode.OK

    raise typer.Exit(with_client(work, endpoint=endpoint, config=config, data=data))


@versions.command()
def fetch(
    name: VersionArgument,
    out: OutOption = None,
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the bytes of a version to a file, as they were sent."""
    *_, uid, _, number = ("", "", *name.split("/"))
    path = out or Path(f"{uid}-version-{number}.dcm")
    fetch_object(name, path, endpoint=endpoint, config=config, data=data, as_json=as_json)


@versions.command()
def restore(
    name: VersionArgument,
    reason: ReasonOption = "",
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve another version of an instance, older or newer; all of them are kept."""

    async def one(client: AsyncClient, name: str) -> tuple[str, dict[str, Any]]:
        served = await client.storage_admin.restore_version(name, reason=reason)
        return f"version {served.version} is served", asdict(served)

    change_each([name], one, endpoint=endpoint, config=config, data=data, as_json=as_json)


def _row(version: InstanceVersion) -> tuple[object, ...]:
    kept = version.object
    since = f"{kept.create_time:%Y-%m-%d %H:%M}" if kept.create_time else ""
    served = "served" if kept.served else ""
    size = size_text(kept.size_bytes)
    run = version.origin_run
    return kept.version, served, since, version.reason, size, kept.source, run, kept.condition, kept.data_set_sha256
