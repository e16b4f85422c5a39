"""`imaging search`: studies, series and instances by their attributes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.amounts import size_text
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.errors import InvalidArgument

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient


@connected
async def search(
    client: AsyncClient,
    output: Output,
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Attributes, e.g. PatientID=4711 PatientName='Mull*' StudyDate=20260101-20260131.",
        ),
    ] = None,
    study: Annotated[str, typer.Option("--study", help="List the series of this study (UID or studies/UID).")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many.")] = 100,
) -> int:
    """Find studies; with --study the series of one. Values match as in PS3.4 C.2.2.2: `*`, `?`, ranges of dates.

    Exit code 4 when nothing matches.
    """
    wanted = _parse(keys or [])
    found = await (_series(client, study, wanted, limit, output) if study else _studies(client, wanted, limit, output))
    if not found and not output.as_json:
        output.say("nothing matches", "yellow")
    return ExitCode.OK if found else ExitCode.NOT_FOUND


def _parse(keys: list[str]) -> dict[str, str]:
    wanted = {}
    for key in keys:
        keyword, equals, value = key.partition("=")
        if not equals or not keyword.isidentifier():
            raise InvalidArgument(f"`{key[:80]}` is no key", where="KEY=VALUE", hint="Write it as PatientID=4711.")
        wanted[keyword] = value
    return wanted


async def _studies(client: AsyncClient, keys: dict[str, str], limit: int, output: Output) -> int:
    found = await client.search_studies(limit=limit, **keys)
    if output.as_json:
        for item in found:
            output.result(asdict(item))
    elif found:
        columns = ("study", "patient", "ID", "date", "modalities", "description", "series>", "instances>", "size>")
        rows = [
            (
                item.study_instance_uid,
                item.patient_name,
                item.patient_id,
                item.study_date,
                " ".join(item.modalities),
                item.description,
                item.series_count,
                item.instance_count,
                size_text(item.size_bytes),
            )
            for item in found
        ]
        output.table("", columns, rows)
    return len(found)


async def _series(client: AsyncClient, study: str, keys: dict[str, str], limit: int, output: Output) -> int:
    found = await client.series(study, limit=limit, **keys)
    if output.as_json:
        for item in found:
            output.result(asdict(item))
    elif found:
        columns = ("series", "modality", "number>", "description", "frames>", "rows x columns", "size>", "origin")
        rows = [
            (
                item.series_instance_uid,
                item.modality,
                "" if item.series_number is None else item.series_number,
                item.description,
                item.frame_count,
                f"{item.rows} x {item.columns}" if item.frame_count else "",
                size_text(item.size_bytes),
                "derived" if item.is_derived else "received",
            )
            for item in found
        ]
        output.table("", columns, rows)
    return len(found)
