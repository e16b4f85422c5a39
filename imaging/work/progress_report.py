"""How work tells how far it is: a function that it calls, from any thread."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Tells progress; the only way in which work in a thread learns that it was cancelled."""

    def __call__(self, done: int, total: int, unit: str, message: str) -> None:
        """Tell that `done` of `total` units (0: not known yet) are done, and what is being done.

        Cheap and thread-safe: call it as often as is convenient, at least once a second of work.

        Raises
        ------
        Cancelled
            If the work was cancelled or its callers are gone for good.
        """
