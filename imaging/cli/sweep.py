"""`imaging storage sweep`: objects that nothing names, found and removed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.amounts import seconds_text, size_text
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.storage_admin import Sweep


@connected
async def sweep(
    client: AsyncClient,
    output: Output,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; tell what would be removed.")] = False,
) -> int:
    """Look through the object store for objects that nothing names, and remove those older than the grace time.

    Only a crash between an object and its row leaves some. The service does so by itself, too.
    """
    last: Sweep | None = None
    async for last in client.storage_admin.sweep(dry_run=dry_run):
        for orphan in last.orphans:
            if output.as_json:
                output.result(asdict(orphan))
            else:
                output.say(f"{'removed' if orphan.removed else 'orphan':<8} {orphan.object_key}")
    if last is None:
        return ExitCode.UNAVAILABLE
    if output.as_json:
        output.result({"summary": _summary(last)})
    else:
        output.table("", ("sweep", "objects>", "size>", "note"), _rows(last))
    return ExitCode.OK


def _summary(found: Sweep) -> dict[str, Any]:
    summary = asdict(replace(found, orphans=()))
    del summary["orphans"]
    return summary


def _rows(found: Sweep) -> list[tuple[object, ...]]:
    oldest = f"the oldest of {found.oldest_orphan_time:%Y-%m-%d %H:%M} UTC" if found.oldest_orphan_time else ""
    young = f"younger than {seconds_text(found.grace_seconds)}: a row may yet name them"
    return [
        ("in the store", found.object_count, size_text(found.size_bytes), ""),
        ("named by nothing", found.orphan_count, size_text(found.orphan_bytes), oldest),
        ("removed", found.removed_count, size_text(found.removed_bytes), ""),
        ("kept for now", found.young_count, size_text(found.young_bytes), young if found.young_count else ""),
    ]
