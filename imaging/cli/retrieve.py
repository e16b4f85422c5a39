"""`imaging retrieve NAME`: stored objects to a folder."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.amounts import seconds_text, size_text
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.cli.transfer_progress import transfer_progress
from imaging.errors import InvalidArgument

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient


@connected
async def retrieve(
    client: AsyncClient,
    output: Output,
    name: Annotated[
        str, typer.Argument(help="studies/UID, …/series/UID or …/instances/UID below it, or the UID of a study.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("retrieved"),
) -> int:
    """Write each instance, byte for byte as it was sent, to FOLDER/<study>/<series>/<instance>.dcm."""
    began = time.monotonic()
    count = size = 0
    with transfer_progress("retrieving", output) as advance:
        total_bytes = await _size_of(client, name) if advance is not None else 0
        async for instance, content in client.retrieve(name):
            path = out / _file_of(instance)
            await asyncio.to_thread(_write, path, content)
            count += 1
            size += len(content)
            if output.as_json:
                output.result({"instance": instance, "path": str(path), "size_bytes": len(content)})
            if advance is not None:
                advance(size, total_bytes, f"{count} instances")
            elif count % 100 == 0:
                output.progress({"instances_done": count, "bytes_done": size})
    seconds = max(time.monotonic() - began, 1e-3)
    if output.as_json:
        output.result({"summary": {"instances": count, "size_bytes": size, "seconds": round(seconds, 3)}})
    else:
        rate = size_text(int(size / seconds))
        output.console.print(f"{count} instances, {size_text(size)} in {seconds_text(seconds)} ({rate}/s), in {out}")
    return ExitCode.OK


async def _size_of(client: AsyncClient, name: str) -> int:
    """Bytes below a name, for the bar."""
    if "/instances/" in name:
        return (await client.storage.get_instance(name)).size_bytes
    if "/series/" in name:
        return (await client.storage.get_series(name)).size_bytes
    return (await client.study(name)).size_bytes


def _file_of(instance: str) -> Path:
    # UIDs hold digits and dots only, so they can name files; storage has checked them.
    _, study, _, series, _, uid = instance.split("/")
    return Path(study) / series / f"{uid}.dcm"


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InvalidArgument(
            f"It cannot be written: {error.strerror}", where=str(path), hint="Choose another folder with --out."
        ) from None
