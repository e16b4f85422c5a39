"""`imaging alerts`: list, watch, acknowledge, redeliver."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.connected import connected
from imaging.cli.exit_codes import ExitCode
from imaging.cli.output import Output
from imaging.cli.printable import printable
from imaging.unit_text import unit_text

if TYPE_CHECKING:
    from imaging.client.alerts import Alert
    from imaging.client.async_client import AsyncClient

alerts = typer.Typer(no_args_is_help=True, help="Findings that a rule of a recipe wants somebody to see soon.")

AlertsArgument = Annotated[list[str], typer.Argument(help="alerts/ID, or the ID.")]
_COLUMNS = ("alert", "severity", "rule", "what", "value>", "study", "raised", "seen", "webhooks")
_STYLES = {"HIGH": "bold red", "MEDIUM": "yellow"}


@alerts.command("list")
@connected
async def list_alerts(
    client: AsyncClient,
    output: Output,
    study: Annotated[str, typer.Option("--study", help="Only those of this study.")] = "",
    only_open: Annotated[bool, typer.Option("--open", help="Only those that nobody has acknowledged.")] = False,
) -> int:
    """List alerts, newest first."""
    found = await client.alerts.list(study, only_open=only_open)
    if output.as_json:
        for alert in found:
            output.result(_model(alert))
    elif found:
        output.table("", _COLUMNS, map(_row, found))
    else:
        output.say("no alerts", "green")
    return ExitCode.OK


@alerts.command()
@connected
async def watch(
    client: AsyncClient,
    output: Output,
    from_revision: Annotated[int, typer.Option("--from", help="Begin with this revision; 0: what comes now.")] = 0,
) -> int:
    """Show alerts as they are raised, until Ctrl-C."""
    async for alert in client.alerts.watch(from_revision):
        if output.as_json:
            output.result(_model(alert))
        else:
            what = f"{alert.concept.meaning} {alert.value:g} {unit_text(alert.unit)}, {alert.condition}"
            text = f"{alert.severity.lower()}  {alert.rule}  {printable(what)}  {alert.study}"
            output.say(text, _STYLES.get(alert.severity, ""))
    return ExitCode.OK


@alerts.command()
@connected
async def acknowledge(
    client: AsyncClient,
    output: Output,
    names: AlertsArgument,
) -> int:
    """Say that somebody has seen alerts."""
    return _told([await client.alerts.acknowledge(name) for name in names], output)


@alerts.command()
@connected
async def redeliver(
    client: AsyncClient,
    output: Output,
    names: AlertsArgument,
) -> int:
    """Tell alerts anew to the webhooks that have not taken them."""
    return _told([await client.alerts.redeliver(name) for name in names], output)


def _told(changed: list[Alert], output: Output) -> int:
    if output.as_json:
        for alert in changed:
            output.result(_model(alert))
    else:
        output.table("", _COLUMNS, map(_row, changed))
    return ExitCode.OK


def _model(alert: Alert) -> dict[str, Any]:
    return asdict(alert)


def _row(alert: Alert) -> tuple[object, ...]:
    return (
        alert.name.removeprefix("alerts/"),
        alert.severity.lower(),
        alert.rule,
        printable(alert.concept.meaning),
        f"{alert.value:g} {unit_text(alert.unit)}, {alert.condition}",
        alert.study,
        f"{alert.raised.astimezone():%Y-%m-%d %H:%M}",
        f"{alert.acknowledged.astimezone():%Y-%m-%d %H:%M}" if alert.acknowledged else "no",
        ", ".join(f"{one.webhook} {one.state.lower().replace('_', ' ')}" for one in alert.deliveries),
    )
