"""Which studies have uploads on their way in this process: their quiet time waits, and they cannot be completed.

Of the resumable ones the database knows, too, also when they are broken off: `upload_spool.is_awaited`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class OpenUploads:
    """Counts uploads by study. Small ones are only here while they are stored, large ones from their first bytes."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def hold(self, study_instance_uid: str) -> Iterator[None]:
        """Hold a study for as long as this is entered."""
        self.enter(study_instance_uid)
        try:
            yield
        finally:
            self.leave(study_instance_uid)

    def enter(self, study_instance_uid: str) -> None:
        """One more upload of the study has begun, or goes on."""
        self._open[study_instance_uid] += 1

    def leave(self, study_instance_uid: str) -> None:
        """One has ended."""
        self._open[study_instance_uid] -= 1
        if self._open[study_instance_uid] <= 0:
            del self._open[study_instance_uid]

    def __contains__(self, study_instance_uid: str) -> bool:
        return study_instance_uid in self._open
