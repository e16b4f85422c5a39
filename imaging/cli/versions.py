"""`imaging storage versions`: list, fetch, restore."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.amounts import size_text
from imaging.cli.change_each import ReasonOption, change_each
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.fetch_object import OutOption, fetch_object
from imaging.cli.output import Output

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.kept_versions import InstanceVersion

versions = typer.Typer(no_args_is_help=True, help="The versions of an instance: list them, look at them, go back.")

VersionArgument = Annotated[str, typer.Argument(help="studies/UID/series/UID/instances/UID/versions/NUMBER.")]


@versions.command("list")
@connected
async def list_versions(
    client: AsyncClient,
    output: Output,
    instance: Annotated[str, typer.Argument(help="studies/UID/series/UID/instances/UID.")],
) -> int:
    """List the versions of an instance that are kept, newest first, and which one is served."""
    found = [version async for version in client.storage_admin.versions(instance)]
    if output.as_json:
        for version in found:
            output.result(asdict(version))
    else:
        columns = ("version>", "served", "since (UTC)", "reason", "size>", "source", "run", "condition", "sha256")
        output.table(instance, columns, map(_row, found))
    return ExitCode.OK


@versions.command()
@connected
async def fetch(
    client: AsyncClient,
    output: Output,
    name: VersionArgument,
    out: OutOption = None,
) -> int:
    """Write the bytes of a version to a file, as they were sent."""
    *_, uid, _, number = ("", "", *name.split("/"))
    path = out or Path(f"{uid}-version-{number}.dcm")
    return await fetch_object(client, output, name, path)


@versions.command()
@connected
async def restore(
    client: AsyncClient,
    output: Output,
    name: VersionArgument,
    reason: ReasonOption = "",
) -> int:
    """Serve another version of an instance, older or newer; all of them are kept."""

    async def one(name: str) -> tuple[str, dict[str, Any]]:
        served = await client.storage_admin.restore_version(name, reason=reason)
        return f"version {served.version} is served", asdict(served)

    return await change_each(output, [name], one)


def _row(version: InstanceVersion) -> tuple[object, ...]:
    kept = version.object
    since = f"{kept.create_time:%Y-%m-%d %H:%M}" if kept.create_time else ""
    served = "served" if kept.served else ""
    size = size_text(kept.size_bytes)
    run = version.origin_run
    return kept.version, served, since, version.reason, size, kept.source, run, kept.condition, kept.data_set_sha256
