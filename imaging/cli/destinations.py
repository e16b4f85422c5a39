"""`imaging destinations`: list, echo, send, and what they have not taken: failed, retry, drop."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.amounts import size_text
from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode, exit_code_of
from imaging.cli.output import Output, print_error
from imaging.cli.printable import printable

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.client.destinations import Destination, FailedSend, Sending

destinations = typer.Typer(no_args_is_help=True, help="Where results can be sent: a PACS, a DICOMweb server.")

DestinationArgument = Annotated[str, typer.Argument(help="destinations/ID, or the ID.")]


@destinations.command("list")
@connected
async def list_destinations(
    client: AsyncClient,
    output: Output,
) -> int:
    """List the destinations of the settings."""
    found = await client.destinations.list()
    if output.as_json:
        for destination in found:
            output.result(asdict(destination))
    elif found:
        output.table("", ("destination", "kind", "where", "tls", "description"), [_row(item) for item in found])
    else:
        output.say("no destinations; name some in the settings (gateway.destinations)", "yellow")
    return ExitCode.OK


@destinations.command()
@connected
async def echo(
    client: AsyncClient,
    output: Output,
    destination: DestinationArgument,
) -> int:
    """Ask whether a destination answers: C-ECHO, or a search of a web server."""
    answer = await client.destinations.echo(destination)
    if answer.error is not None:
        print_error(answer.error, as_json=output.as_json)
        return exit_code_of(answer.error)
    if output.as_json:
        output.result({"destination": destination, "seconds": answer.seconds})
    else:
        output.console.print(f"{printable(destination)} answers, {answer.seconds * 1000:.0f} ms")
    return ExitCode.OK


@destinations.command()
@connected
async def send(
    client: AsyncClient,
    output: Output,
    destination: DestinationArgument,
    names: Annotated[list[str], typer.Argument(help="studies/UID, …/series/UID or …/instances/UID.")],
) -> int:
    """Send studies, series or instances to a destination.

    Each instance that was not taken is named with the reason. Exit code 1 when there is one.
    """
    last: Sending | None = None
    async for last in client.destinations.send(destination, names):
        if output.as_json and not last.has_ended:
            output.progress({"done": last.done, "total": last.total, "unit": "instances"})
    if last is None:
        return ExitCode.UNAVAILABLE
    for item in last.not_sent:
        if output.as_json:
            output.result({"instance": item.instance, "error": item.error.text, "reason": item.error.reason})
        else:
            output.say(f"not sent  {item.instance}  {printable(item.error.text)}", "red")
    if (more := last.failed_count - len(last.not_sent)) and not output.as_json:
        output.say(f"and {more} more: imaging destinations failed {printable(destination)}", "red")
    if output.as_json:
        summary = {"sent": last.sent_count, "sent_bytes": last.sent_bytes, "failed": last.failed_count}
        output.result({"summary": summary})
    else:
        failed = f", {last.failed_count} not" if last.failed_count else ""
        output.console.print(f"{last.sent_count} instances sent, {size_text(last.sent_bytes)}{failed}")
    return ExitCode.SOME_FAILED if last.failed_count else ExitCode.OK


@destinations.command()
@connected
async def failed(
    client: AsyncClient,
    output: Output,
    destination: Annotated[str, typer.Argument(help="destinations/ID, or the ID; all without.")] = "",
) -> int:
    """List what destinations have not taken, newest first, with the reason and when it is tried again."""
    found = await client.destinations.failed(destination)
    if output.as_json:
        for item in found:
            output.result(_failed_model(item))
    elif found:
        output.table("", ("failed send", "to", "instance", "attempts", "next", "why"), map(_failed_row, found))
    else:
        output.say("nothing has failed", "green")
    return ExitCode.OK


@destinations.command()
@connected
async def retry(
    client: AsyncClient,
    output: Output,
    names: Annotated[list[str], typer.Argument(help="failedSends/ID, or the ID; `all` for the whole list.")],
) -> int:
    """Try failed sends again now. Exit code 1 when one has failed again."""
    sent = not_sent = 0
    for name in await _named(client, names):
        still = await client.destinations.retry(name)
        if still is None:
            sent += 1
            continue
        not_sent += 1
        if output.as_json:
            output.result(_failed_model(still))
        else:
            output.say(f"not sent  {still.instance}  {printable(still.error.text)}", "red")
    if output.as_json:
        output.result({"summary": {"sent": sent, "failed": not_sent}})
    else:
        # One that has left the list before was sent or dropped: the service does not know which.
        output.console.print(f"{sent} off the list{f', {not_sent} not sent' if not_sent else ''}")
    return ExitCode.SOME_FAILED if not_sent else ExitCode.OK


@destinations.command()
@connected
async def drop(
    client: AsyncClient,
    output: Output,
    names: Annotated[list[str], typer.Argument(help="failedSends/ID, or the ID; `all` for the whole list.")],
) -> int:
    """Take failed sends off the list: they are tried no more."""
    wanted = await _named(client, names)
    for name in wanted:
        await client.destinations.drop(name)
    if output.as_json:
        output.result({"summary": {"dropped": len(wanted)}})
    else:
        output.console.print(f"{len(wanted)} taken off the list")
    return ExitCode.OK


async def _named(client: AsyncClient, names: list[str]) -> list[str]:
    if names == ["all"]:
        return [item.name for item in await client.destinations.failed()]
    return names


def _failed_model(item: FailedSend) -> dict[str, object]:
    return {
        "failed_send": item.name,
        "destination": item.destination,
        "instance": item.instance,
        "attempts": item.attempts,
        "error": item.error.text,
        "reason": item.error.reason,
        "failed_first": item.failed_first.isoformat(),
        "tried_last": item.tried_last.isoformat(),
        "next_try": item.next_try.isoformat() if item.next_try else None,
        "run": item.run,
        "stage": item.stage,
    }


def _failed_row(item: FailedSend) -> tuple[object, ...]:
    following = f"{item.next_try.astimezone():%Y-%m-%d %H:%M:%S}" if item.next_try else "given up"
    name, destination = item.name.removeprefix("failedSends/"), item.destination.removeprefix("destinations/")
    return name, destination, item.instance, item.attempts, following, printable(item.error.text)


def _row(item: Destination) -> tuple[object, ...]:
    where = item.url or f"{item.ae_title}@{item.address}"
    return item.name.removeprefix("destinations/"), item.kind, where, "yes" if item.tls else "no", item.description
