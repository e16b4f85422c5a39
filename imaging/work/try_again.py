"""When something that failed is tried again by itself, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Waits that double from the first to the longest, until a time after the first failure."""

    first_wait: timedelta
    longest_wait: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(hours=24)

    def next_try(self, attempts: int, since: datetime, now: datetime) -> datetime | None:
        """When, after so many attempts that failed, the first of them at `since`; None: not any more."""
        following = now + min(self.first_wait * 2.0 ** min(attempts - 1, 30), self.longest_wait)
        return None if following - since > self.give_up_after else following
