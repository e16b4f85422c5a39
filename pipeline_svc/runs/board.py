"""What is new of the runs, for those who watch: a signal at each change, and the progress that is not kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from imaging.stage.v1.stage_pb2 import Progress


class RunBoard:
    """Signals within this process. Who watches also looks again after a while: another replica may change a run."""

    def __init__(self) -> None:
        self._progress: dict[str, dict[int, Progress]] = {}
        self._changed: dict[str, asyncio.Event] = {}

    def progress(self, run_id: str) -> Mapping[int, Progress]:
        """The newest progress of the stages of a run, by position; empty once it has ended."""
        return self._progress.get(run_id, {})

    def tell_progress(self, run_id: str, position: int, progress: Progress) -> None:
        """A stage got on."""
        self._progress.setdefault(run_id, {})[position] = progress
        self.tell_change(run_id)

    def tell_change(self, run_id: str) -> None:
        """The run is another than it was."""
        changed = self._changed.pop(run_id, None)
        if changed is not None:
            changed.set()

    def forget(self, run_id: str) -> None:
        """The run has ended: its progress is of no more interest."""
        self._progress.pop(run_id, None)
        self.tell_change(run_id)

    def next_change(self, run_id: str) -> asyncio.Event:
        """An event that is set at the next change. Take it before reading the run, so that none is missed."""
        return self._changed.setdefault(run_id, asyncio.Event())
