"""`imaging alerts`: list, watch, acknowledge, redeliver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.connection import with_client
from imaging.cli.exit_codes import ExitCode
from imaging.cli.options import ConfigOption, DataOption, EndpointOption, JsonFlag
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
def list_alerts(
    study: Annotated[str, typer.Option("--study", help="Only those of this study.")] = "",
    only_open: Annotated[bool, typer.Option("--open", help="Only those that nobody has acknowledged.")] = False,
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List alerts, newest first."""
    output = Output(as_json=as_json)

    async def work(client: AsyncClient) -> int:
        found = await client.alerts.list(study, only_open=only_open)
        if output.as_json:
            for alert in found:
                output.result(_model(alert))
        elif found:
            output.table("", _COLUMNS, map(_row, found))
        else:
            output.say("no alerts", "green")
        return ExitCode.OK

    raise typer.Exit(with_client(work, endpoint=endpoint, config=config, data=data))


@alerts.command()
def watch(
    from_revision: Annotated[int, typer.Option("--from", help="Begin with this revision; 0: what comes now.")] = 0,
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show alerts as they are raised, until Ctrl-C."""
    output = Output(as_json=as_json)

    async def work(client: AsyncClient) -> int:
        async for alert in client.alerts.watch(from_revision):
            if output.as_json:
                output.result(_model(alert))
            else:
                what = f"{alert.concept.meaning} {alert.value:g} {unit_text(alert.unit)}, {alert.condition}"
                text = f"{alert.severity.lower()}  {alert.rule}  {printable(what)}  {alert.study}"
                output.say(text, _STYLES.get(alert.severity, ""))
        return ExitCode.OK

    raise typer.Exit(with_client(work, endpoint=endpoint, config=config, data=data))


@alerts.command()
def acknowledge(
    names: AlertsArgument,
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say that somebody has seen alerts."""
    _each(names, lambda client, name: client.alerts.acknowledge(name), endpoint, data, config, as_json)


@alerts.command()
def redeliver(
    names: AlertsArgument,
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell alerts anew to the webhooks that have not taken them."""
    _each(names, lambda client, name: client.alerts.redeliver(name), endpoint, data, config, as_json)


def _each(
    names: list[str],
    do: Callable[[AsyncClient, str], Awaitable[Alert]],
    endpoint: Any,
    data: Any,
    config: Any,
    as_json: bool,
) -> None:
    output = Output(as_json=as_json)

    async def work(client: AsyncClient) -> int:
        changed = [await do(client, name) for name in names]
        if output.as_json:
            for alert in changed:
                output.result(_model(alert))
        else:
            output.table("", _COLUMNS, map(_row, changed))
        return ExitCode.OK

    raise typer.Exit(with_client(work, endpoint=endpoint, config=config, data=data))


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
