"""What commands write: results to standard output, everything else to standard error.

On a terminal people get tables and progress bars; elsewhere, and with `--json`, every line is one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imaging.cli.printable import printable
from imaging.errors import ImagingError

_WIDTH_ELSEWHERE = 200
_NARROWEST_FOLDED = 16
_FOLDING = frozenset({"note", "reason", "found", "description", "patient", "measure", "file"})
"""Columns of free text: they give way when the terminal is narrow, all others stay whole."""


class Output:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # A file or a pipe has no width of its own: wide enough that no table has to break its lines.
        self.console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_ELSEWHERE)
        self.messages = Console(stderr=True, highlight=False)

    @property
    def shows_progress(self) -> bool:
        """True when people look at it: progress bars are drawn then, JSON lines written otherwise."""
        return not self.as_json and self.messages.is_terminal

    def result(self, value: dict[str, Any]) -> None:
        """A result as one JSON line on standard output; ASCII, so that nothing in it is a line end or an escape."""
        sys.stdout.write(json.dumps(value, default=str) + "\n")
        sys.stdout.flush()

    def progress(self, value: dict[str, Any]) -> None:
        """A step on the way, for programs that read along: one JSON line on standard error."""
        sys.stderr.write(json.dumps(value, default=str) + "\n")
        sys.stderr.flush()

    def say(self, text: str, style: str = "") -> None:
        """A sentence for people, on standard error; foreign characters in it are made harmless."""
        # The terminal breaks long lines, we do not: so that a path in one stays whole when it is copied.
        self.messages.print(Text(printable(text, 4000), style=style), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table on standard output. Columns that end in `>` are right-aligned; cells may be `Text`.

        Where the terminal is too narrow for it, each row becomes a record of lines: nothing is ever cut off.
        """
        names = [column.rstrip(">") for column in columns]
        cells = [[cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row] for row in rows]
        if title:  # a name in it stays whole, however narrow the table
            self.console.print(Text(title, style="bold"), soft_wrap=True)
        if _least_width(names, cells) > self.console.width:
            self._records(names, cells)
            return
        table = Table(header_style="bold", box=None, pad_edge=False)
        for column in columns:
            name = column.rstrip(">")
            justify: Literal["left", "right"] = "right" if column.endswith(">") else "left"
            table.add_column(name, justify=justify, overflow="fold", no_wrap=name not in _FOLDING)
        for row in cells:
            table.add_row(*row)
        self.console.print(table)

    def _records(self, names: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
        label_width = max(map(len, names))
        for row in rows:
            first, *others = zip(names, row, strict=True)
            self.console.print(Text(f"{first[0]} ", style="bold") + first[1], soft_wrap=True)
            for name, cell in others:
                if cell.plain:
                    self.console.print(Text(f"  {name:<{label_width}}  ", style="dim") + cell, soft_wrap=True)


def _least_width(names: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """How many columns of the terminal a table needs at least when no cell but those of free text may be broken."""
    total = -2  # no space after the last column
    for place, name in enumerate(names):
        longest = max((line.cell_len for row in rows for line in row[place].split()), default=0)
        total += max(len(name), min(longest, _NARROWEST_FOLDED) if name in _FOLDING else longest) + 2
    return total


def print_error(error: ImagingError, *, as_json: bool) -> None:
    """What, where, why and how to fix it, on standard error."""
    if as_json:
        facts = {"reason": error.reason, "what": error.what, "where": error.where, "hint": error.hint}
        sys.stderr.write(json.dumps({"error": {**facts, **error.metadata}}) + "\n")
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(printable(error.what, 2000)))
    for label, text in (("where", error.where), ("fix", error.hint)):
        if text:
            console.print(Text(f"{label:>5}: ", style="bold") + Text(printable(text, 2000)))
