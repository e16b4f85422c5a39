"""`imaging storage quarantine`: list, show, fetch, accept, discard."""

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
from imaging.cli.printable import printable

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.kept_versions import QuarantinedInstance

quarantine = typer.Typer(
    no_args_is_help=True,
    help="What contradicts a stored instance of the same UID: list it, look at it, accept or discard it.",
)

QuarantinedArgument = Annotated[str, typer.Argument(help="quarantinedInstances/ID, or the ID.")]
QuarantinedArguments = Annotated[list[str], typer.Argument(help="quarantinedInstances/ID, or the ID; several.")]


@quarantine.command("list")
@connected
async def list_quarantined(
    client: AsyncClient,
    output: Output,
    parent: Annotated[str, typer.Argument(help="A study, series or instance; none: everything.")] = "",
) -> int:
    """List what is in quarantine, newest first: why, since when, from whom."""
    found = client.storage_admin.quarantined(parent if "/" in parent or not parent else f"studies/{parent}")
    if output.as_json:
        async for item in found:
            output.result(asdict(item))
        return ExitCode.OK
    rows = [_row(item) async for item in found]
    if rows:
        output.table("", ("id", "reason", "since (UTC)", "size>", "source", "it names"), rows)
    else:
        output.say("nothing is in quarantine")
    return ExitCode.OK


@quarantine.command()
@connected
async def show(
    client: AsyncClient,
    output: Output,
    name: QuarantinedArgument,
) -> int:
    """Tell all of a quarantined instance beside what is stored under its UID; no patient data."""
    admin = client.storage_admin
    item = await admin.quarantined_instance(name)
    kept = item.object
    stored = [version async for version in admin.versions(kept.instance)] if kept.instance else []
    served = next((version.object for version in stored if version.object.served), None)
    if output.as_json:
        output.result({**asdict(item), "stored": None if served is None else asdict(served)})
        return ExitCode.OK
    rows = [
        ("name", item.claimed_instance, kept.instance or "nothing"),
        ("since (UTC)", _time(kept.create_time), "" if served is None else _time(served.create_time)),
        ("size", size_text(kept.size_bytes), "" if served is None else size_text(served.size_bytes)),
        ("sha256", kept.data_set_sha256, "" if served is None else served.data_set_sha256),
        ("transfer syntax", kept.transfer_syntax_uid, "" if served is None else served.transfer_syntax_uid),
        ("source", printable(kept.source), "" if served is None else printable(served.source)),
        ("condition", kept.condition, "" if served is None else served.condition),
        ("version", "", "" if served is None else served.version),
    ]
    output.table(f"{item.name}: {_words(item)}", ("", "quarantined", "stored"), rows)
    return ExitCode.OK


@quarantine.command()
@connected
async def fetch(
    client: AsyncClient,
    output: Output,
    name: QuarantinedArgument,
    out: OutOption = None,
) -> int:
    """Write the bytes of a quarantined instance to a file, as they were sent, so that they can be compared."""
    path = out or Path(f"quarantined-{Path(name).name}.dcm")
    return await fetch_object(client, output, name, path)


@quarantine.command()
@connected
async def accept(
    client: AsyncClient,
    output: Output,
    names: QuarantinedArguments,
    reason: ReasonOption = "",
) -> int:
    """Serve quarantined instances as the newest versions of theirs; what is served until now is kept.

    One that names another study or series moves there. Exit code 1 when one of several cannot be accepted.
    """

    async def one(name: str) -> tuple[str, dict[str, Any]]:
        served = await client.storage_admin.accept(name, reason=reason)
        return f"served as version {served.version} of {served.instance}", asdict(served)

    return await change_each(output, names, one)


@quarantine.command()
@connected
async def discard(
    client: AsyncClient,
    output: Output,
    names: QuarantinedArguments,
    reason: ReasonOption = "",
) -> int:
    """Forget quarantined instances with their bytes, for good. Exit code 1 when one of several cannot be discarded."""

    async def one(name: str) -> tuple[str, dict[str, Any]]:
        await client.storage_admin.discard(name, reason=reason)
        return "discarded", {"discarded": True}

    return await change_each(output, names, one)


def _row(item: QuarantinedInstance) -> tuple[object, ...]:
    kept = item.object
    identity = item.name.removeprefix("quarantinedInstances/")
    return (
        identity,
        _words(item),
        _time(kept.create_time),
        size_text(kept.size_bytes),
        kept.source,
        item.claimed_instance,
    )


def _words(item: QuarantinedInstance) -> str:
    return item.reason.replace("_", " ")


def _time(time: object) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else ""
