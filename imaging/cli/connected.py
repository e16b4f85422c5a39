"""Commands that talk to the services: written as a coroutine of a client, they get the options that all such have."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from imaging.cli.options import ConfigOption, DataOption, EndpointOption, JsonFlag, settings_from
from imaging.cli.output import Output

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient
    from imaging.settings import Settings

_ADDED = tuple(
    Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
    for name, default, kind in (
        ("endpoint", None, EndpointOption),
        ("data", None, DataOption),
        ("config", None, ConfigOption),
        ("as_json", False, JsonFlag),
    )
)


def connected(work: Callable[..., Awaitable[int]]) -> Callable[..., None]:
    """A command for typer made of `async def work(client, output, ...) -> int`, whose result is the exit code.

    What follows `client` and `output` are arguments and options of its own; `--endpoint`, `--data`, `--config` and
    `--json` are added to them.
    """
    own = list(inspect.signature(work).parameters.values())[2:]

    @wraps(work)
    def command(*, endpoint: str | None, data: Path | None, config: Path | None, as_json: bool, **given: Any) -> None:
        settings, output = settings_from(config, data), Output(as_json=as_json)
        raise typer.Exit(_run(lambda client: work(client, output, **given), endpoint, settings))

    # Typer reads names and types from here. The types of `client` and `output` are known to the type checker alone.
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in own}
    types = get_type_hints(command, include_extras=True)
    shown = [*(parameter.replace(annotation=types[parameter.name]) for parameter in own), *_ADDED]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in shown]
    )
    return command


def _run(work: Callable[[AsyncClient], Awaitable[int]], endpoint: str | None, settings: Settings) -> int:
    import uvloop

    from imaging.client.async_client import AsyncClient

    async def run() -> int:
        async with AsyncClient(endpoint, settings=settings, source="imaging-cli") as client:
            return await work(client)

    return uvloop.run(run())
