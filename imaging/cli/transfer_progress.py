"""A bar with bytes, rate and time left, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from imaging.cli.output import Output


class Advance(Protocol):
    """Moves the bar."""

    def __call__(self, bytes_done: int, bytes_total: int, items: str) -> None:
        """So many bytes of so many are through; `items` tells the count of files, e.g. `3/10 files`."""


@contextmanager
def transfer_progress(title: str, output: Output) -> Iterator[Advance | None]:
    """The bar while the block lasts; None where nobody looks at it."""
    if not output.shows_progress:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[items]}"),
    )
    with Progress(*columns, console=output.messages, transient=True) as bar:
        task = bar.add_task(title, total=None, items="")

        def advance(bytes_done: int, bytes_total: int, items: str) -> None:
            bar.update(task, completed=bytes_done, total=bytes_total or None, items=items)

        yield advance
