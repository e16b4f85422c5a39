"""`imaging storage audit`: who took something away, brought it back or decided over it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.kept_versions import AuditEntry


@connected
async def audit(
    client: AsyncClient,
    output: Output,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 100,
) -> int:
    """Tell who deleted, restored, held or decided what, when and why, newest first."""
    entries = [entry async for entry in client.storage_admin.audit(limit=limit)]
    if output.as_json:
        for entry in entries:
            output.result(asdict(entry))
    else:
        output.table("", ("time (UTC)", "action", "by", "reason", "what"), map(_row, entries))
    return ExitCode.OK


def _row(entry: AuditEntry) -> tuple[object, ...]:
    time = f"{entry.time:%Y-%m-%d %H:%M:%S}" if entry.time else ""
    return time, entry.action.replace("_", " "), entry.peer or "the service", entry.reason, "\n".join(entry.names)
