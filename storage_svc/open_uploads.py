"""Which studies have uploads on their way: their quiet time waits, and they cannot be completed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

RESUME_SECONDS = 60.0
"""How long a broken resumable upload holds its study: a sender that lives comes back within this."""


class OpenUploads:
    """Counts uploads by study. Small ones are only here while they are stored, large ones from their first bytes."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._broken: dict[str, float] = {}

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
        self._broken.pop(study_instance_uid, None)

    def leave(self, study_instance_uid: str, *, broken: bool = False) -> None:
        """One has ended; a broken one may come back and holds the study for a while."""
        self._open[study_instance_uid] -= 1
        if self._open[study_instance_uid] <= 0:
            del self._open[study_instance_uid]
        if broken:
            self._broken[study_instance_uid] = time.monotonic() + RESUME_SECONDS

    def __contains__(self, study_instance_uid: str) -> bool:
        if study_instance_uid in self._open:
            return True
        until = self._broken.get(study_instance_uid)
        if until is None:
            return False
        if until < time.monotonic():
            del self._broken[study_instance_uid]
            return False
        return True
