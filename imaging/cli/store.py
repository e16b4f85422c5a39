"""`imaging store PATH…`: files and folders to storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.amounts import seconds_text, size_text
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.file_lines import name_if_not_stored, tell_hints
from imaging.cli.output import Output
from imaging.cli.transfer_progress import transfer_progress
from imaging.dicom.transfer_syntax import TRANSFER_SYNTAXES

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.results import FileResult, StoreProgress, StoreSummary

_SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big-endian": "1.2.840.10008.1.2.2",
}


@connected
async def store(
    client: AsyncClient,
    output: Output,
    paths: Annotated[list[str], typer.Argument(help="Files and folders; folders are walked.")],
    complete: Annotated[
        bool, typer.Option("--complete", help="Say that each study was sent whole: its run starts at once.")
    ] = False,
    raw: Annotated[
        str,
        typer.Option(
            "--raw",
            metavar="SYNTAX",
            help="Take data sets without preamble and file meta, encoded as `implicit`, `explicit`, `big-endian` "
            "or a transfer syntax UID.",
        ),
    ] = "",
) -> int:
    """Store every DICOM file at or below the paths.

    A file that is not DICOM or is rejected is named with its reason; the rest goes on. Exit code 1 tells that there was
    such a file. Sending the same files again is safe.
    """
    syntax = _SYNTAXES.get(raw, raw)
    if syntax and syntax not in TRANSFER_SYNTAXES:
        raise typer.BadParameter(
            f"{raw!r} is not a transfer syntax; give implicit, explicit, big-endian or a UID.", param_hint="--raw"
        )
    with _progress(output) as on_progress:
        summary = await client.store(
            paths, progress=on_progress, complete=complete, headerless_transfer_syntax_uid=syntax
        )
    _tell(summary, output)
    return ExitCode.SOME_FAILED if summary.rejected or not summary.stored else ExitCode.OK


@contextmanager
def _progress(output: Output) -> Iterator[Callable[[StoreProgress], None]]:
    with transfer_progress("storing", output) as advance:

        def step(now: StoreProgress) -> None:
            if now.newest is not None:
                if output.as_json:
                    output.result(file_facts(now.newest))
                else:
                    name_if_not_stored(now.newest, output)
            if advance is not None:
                advance(now.bytes_done, now.bytes_total, f"{now.files_done}/{now.files_total} files")
            elif now.newest is not None and (now.files_done % 100 == 0 or now.files_done == now.files_total):
                counts = {"files_done": now.files_done, "files_total": now.files_total}
                output.progress({**counts, "bytes_done": now.bytes_done, "bytes_total": now.bytes_total})

        yield step


def file_facts(file: FileResult) -> dict[str, Any]:
    """A file's result for JSON."""
    facts: dict[str, Any] = {"path": str(file.path), "status": file.status, "size_bytes": file.size_bytes}
    if file.instance:
        facts["instance"] = file.instance
    if file.error is not None:
        facts["error"] = {"reason": file.error.reason, "text": file.error.text, "where": file.error.where}
    if file.note:
        facts["note"] = file.note
    return facts


def _tell(summary: StoreSummary, output: Output) -> None:
    seconds = max(summary.seconds, 1e-3)
    if output.as_json:
        output.result(
            {
                "summary": {
                    "stored": len(summary.stored),
                    "rejected": len(summary.rejected),
                    "skipped": len(summary.skipped),
                    "size_bytes": summary.size_bytes,
                    "seconds": round(summary.seconds, 3),
                    "studies": summary.studies,
                }
            }
        )
        return
    tell_hints(summary.rejected, output)
    known = sum(file.status == "already_stored" for file in summary.stored)
    output.console.print(
        f"{len(summary.stored)} stored{f' ({known} of them were there already)' if known else ''}, "
        f"{len(summary.rejected)} rejected, "
        f"{len(summary.skipped)} skipped; {len(summary.studies)} studies; {size_text(summary.size_bytes)} in "
        f"{seconds_text(summary.seconds)} ({size_text(int(summary.size_bytes / seconds))}/s, "
        f"{len(summary.stored) / seconds:.0f} instances/s)"
    )
