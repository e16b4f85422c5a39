"""Changing what is kept, one name after the other: each gets its answer, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imaging.cli.connection import with_client
from imaging.cli.exit_codes import ExitCode, exit_code_of
from imaging.cli.output import Output, print_error
from imaging.errors import ImagingError

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the audit; no patient data.")]

Change = Callable[["AsyncClient", str], Awaitable[tuple[str, dict[str, Any]]]]
"""Gives a sentence for people and the facts of it."""


def change_each(names: Sequence[str], change: Change, *, as_json: bool, **where: Any) -> None:
    """Change each; the exit code is that of the failure of a single one, 1 when one of several failed."""
    output = Output(as_json=as_json)

    async def work(client: AsyncClient) -> int:
        code = ExitCode.OK
        for name in names:
            try:
                sentence, facts = await change(client, name)
            except ImagingError as error:
                print_error(error, as_json=as_json)
                code = exit_code_of(error) if len(names) == 1 else ExitCode.SOME_FAILED
                if code == ExitCode.UNAVAILABLE:
                    break
                continue
            if output.as_json:
                output.result({"name": name, **facts})
            else:
                output.console.print(f"{name}: {sentence}", soft_wrap=True)
        return code

    raise typer.Exit(with_client(work, **where))
