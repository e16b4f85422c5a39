"""`imaging storage`: verify, scrub, delete, restore, hold; versions and quarantine have commands of their own."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.amounts import size_text
from imaging.cli.audit import audit
from imaging.cli.change_each import ReasonOption, change_each
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.cli.quarantine import quarantine
from imaging.cli.sweep import sweep
from imaging.cli.transfer_progress import transfer_progress
from imaging.cli.versions import versions
from imaging.errors import InvalidArgument

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.storage_admin import ScrubStatus

storage = typer.Typer(no_args_is_help=True, help="What is kept: verify it, delete and restore it, hold it.")
storage.add_typer(quarantine, name="quarantine")
storage.add_typer(versions, name="versions")
storage.command()(sweep)
storage.command()(audit)

NameArgument = Annotated[str, typer.Argument(help="studies/UID, …/series/UID or …/instances/UID, or a study's UID.")]


@storage.command()
@connected
async def verify(
    client: AsyncClient,
    output: Output,
    names: Annotated[list[str] | None, typer.Argument(help="Studies, series, instances; none: everything.")] = None,
    sizes: Annotated[bool, typer.Option("--sizes", help="Look only whether they are there with their size.")] = False,
) -> int:
    """Read and verify what is kept now, older versions and quarantine included.

    Each damaged object is named. Exit code 8 when there is one.
    """
    damaged = 0
    step = None
    with transfer_progress("verifying", output) as advance:
        async for step in client.storage_admin.verify(names or [], only_size=sizes):
            for item in (*step.damaged, *step.recovered):
                if output.as_json:
                    output.result(asdict(item))
                elif item in step.damaged:
                    output.say(f"{item.condition:<10} {item.name}  {item.object_key}", "red")
                else:
                    output.say(f"recovered  {item.name}", "green")
            damaged += len(step.damaged)
            if advance is not None:
                advance(step.bytes_done, step.bytes_total, f"{step.objects_done}/{step.objects_total} objects")
    objects, size = (step.objects_done, step.bytes_done) if step is not None else (0, 0)
    if output.as_json:
        output.result({"summary": {"objects": objects, "size_bytes": size, "damaged": damaged}})
    else:
        output.console.print(f"{objects} objects verified, {size_text(size)}; {damaged} damaged")
        if damaged:
            output.say("fix: send the damaged instances again, or restore the objects from a backup and verify")
    return ExitCode.DATA_LOSS if damaged else ExitCode.OK


@storage.command()
@connected
async def scrub(
    client: AsyncClient,
    output: Output,
    now: Annotated[bool, typer.Option("--now", help="Verify everything now, in the background.")] = False,
) -> int:
    """Tell how far the background scrub is; with --now let it begin at once. Exit code 8 when objects are damaged."""
    admin = client.storage_admin
    status = await (admin.start_scrub() if now else admin.scrub_status())
    if output.as_json:
        output.result(asdict(status))
    else:
        _show(status, output)
        for item in await admin.damaged():
            output.say(f"{item.condition:<10} {item.name}  {item.object_key}", "red")
    return ExitCode.DATA_LOSS if status.missing_count or status.differing_count else ExitCode.OK


@storage.command()
@connected
async def delete(
    client: AsyncClient,
    output: Output,
    name: NameArgument,
    reason: ReasonOption = "",
    grace_days: Annotated[float | None, typer.Option("--grace-days", min=0, help="Days until the purge.")] = None,
) -> int:
    """Delete a study, series or instance softly; it can be restored until it is purged."""

    async def change(name: str) -> tuple[str, dict[str, Any]]:
        time = await client.storage_admin.delete(name, reason=reason, grace_days=grace_days)
        return f"deleted; it is purged after {time:%Y-%m-%d %H:%M} UTC" if time else "deleted", {"purge_time": time}

    return await change_each(output, [name], change)


@storage.command()
@connected
async def restore(
    client: AsyncClient,
    output: Output,
    name: NameArgument,
    reason: ReasonOption = "",
) -> int:
    """Bring a deleted study, series or instance back; what had been deleted by itself is restored by its own name."""

    async def change(name: str) -> tuple[str, dict[str, Any]]:
        await client.storage_admin.restore(name, reason=reason)
        return "restored", {}

    return await change_each(output, [name], change)


@storage.command()
@connected
async def hold(
    client: AsyncClient,
    output: Output,
    name: Annotated[str, typer.Argument(help="studies/UID, or the UID.")],
    reason: ReasonOption = "",
    release: Annotated[bool, typer.Option("--release", help="End the hold.")] = False,
) -> int:
    """Put a study under legal hold: nothing of it can be deleted or purged until the hold is released."""
    if not release and not reason:
        raise InvalidArgument("A hold needs a reason", where="--reason", hint="Tell why the study must stay.")

    async def change(name: str) -> tuple[str, dict[str, Any]]:
        admin = client.storage_admin
        await (admin.release(name) if release else admin.hold(name, reason=reason))
        return "released" if release else "held", {"held": not release}

    return await change_each(output, [name], change)


def _show(status: ScrubStatus, output: Output) -> None:
    oldest = f"{status.oldest_verify_time:%Y-%m-%d %H:%M} UTC" if status.oldest_verify_time else "never"
    rate, size = size_text(status.bytes_per_second), size_text(status.size_bytes)
    rows = [
        ("objects", f"{status.object_count}, {size}"),
        ("each verified within", f"{status.period_days:g} days, at most {rate}/s"),
        ("waits the longest since", oldest if status.object_count else "-"),
        ("late", status.overdue_count),
        ("still to verify now", status.wanted_count),
        ("missing", status.missing_count),
        ("differing", status.differing_count),
    ]
    output.table("", ("scrub", "found"), rows)
