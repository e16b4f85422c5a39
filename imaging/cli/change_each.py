"""Changing what is kept, one name after the other: each gets its answer, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer

from imaging.cli.exit_codes import ExitCode, exit_code_of
from imaging.cli.output import Output, print_error
from imaging.errors import ImagingError

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the audit; no patient data.")]

Change = Callable[[str], Awaitable[tuple[str, dict[str, Any]]]]
"""Gives a sentence for people and the facts of it."""


async def change_each(output: Output, names: Sequence[str], change: Change) -> int:
    """Change each; the exit code is that of the failure of a single one, 1 when one of several failed."""
    code = ExitCode.OK
    for name in names:
        try:
            sentence, facts = await change(name)
        except ImagingError as error:
            print_error(error, as_json=output.as_json)
            code = exit_code_of(error) if len(names) == 1 else ExitCode.SOME_FAILED
            if code == ExitCode.UNAVAILABLE:
                break
            continue
        if output.as_json:
            output.result({"name": name, **facts})
        else:
            output.console.print(f"{name}: {sentence}", soft_wrap=True)
    return code
