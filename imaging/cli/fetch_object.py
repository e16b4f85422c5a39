"""Fetching the bytes of a version or of a quarantined instance into a file."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.amounts import size_text
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.errors import InvalidArgument

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient

OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="File to write; a name of its own without.")]


async def fetch_object(client: AsyncClient, output: Output, name: str, path: Path) -> int:
    """Write the bytes to a file, which is there only when all of them have come and were proven."""
    aside = path.with_name(f".{path.name}.part")
    size = 0
    try:
        with aside.open("wb") as file:
            async for piece in client.storage_admin.read_object(name):
                await asyncio.to_thread(file.write, piece)
                size += len(piece)
        aside.replace(path)
    except OSError as error:
        raise InvalidArgument(
            f"It cannot be written: {error.strerror}", where=str(path), hint="Choose another file with --out."
        ) from None
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    if output.as_json:
        output.result({"name": name, "path": str(path), "size_bytes": size})
    else:
        output.console.print(f"{size_text(size)} in {path}", soft_wrap=True)
    return ExitCode.OK
