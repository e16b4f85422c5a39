"""The seam of the run engine: what carries runs through their script, whatever happens to this process.

The embedded engine works in one process at a time with the service's own database. Another one, such as Temporal, makes
the steps of `script.RunSteps` activities and `run_study` a workflow; the rows of the runs stay as they are.
"""

from __future__ import annotations

from typing import Protocol


class RunEngine(Protocol):
    """Carries runs through `run_study`."""

    async def run(self) -> None:
        """Carry every run that is not ended, until cancelled; they are let go of then, and go on at the next call."""

    def submit(self, run_id: str) -> None:
        """Take up a run that is PENDING in the table now, if `run` is on. Submitting it twice is harmless."""

    async def cancel(self, run_id: str) -> None:
        """Let go of a run that was ended in the table; comes back when nothing is done for it any more."""
