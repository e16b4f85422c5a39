"""How long a client goes on trying when a service does not answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from imaging.errors import Cancelled, ImagingError, Overloaded, Unavailable


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of trying again: the delay doubles from `first_delay` to `longest_delay`.

    A service that tells when to come again (`google.rpc.RetryInfo`) is not asked earlier.
    """

    first_delay: timedelta = timedelta(milliseconds=100)
    longest_delay: timedelta = timedelta(seconds=3)

    give_up_after: timedelta = timedelta(seconds=60)
    """Without any progress; a service that was killed is back within a few seconds under every supervisor we know."""

    def delay_seconds(self, failures: int, error: ImagingError) -> float:
        """How long to wait after so many failures in a row before this last one."""
        own = min(self.first_delay.total_seconds() * 2.0 ** min(failures, 30), self.longest_delay.total_seconds())
        return max(own, min(error.retry_after_seconds, self.give_up_after.total_seconds()))


def is_worth_retrying(error: ImagingError) -> bool:
    """True for errors that say nothing about the request: the service is away, ending, or full of work.

    CANCELLED is one of them because a server that ends its grace time cancels its streams; a cancellation of our own
    task is `asyncio.CancelledError` and never comes here.
    """
    return isinstance(error, Unavailable | Overloaded | Cancelled)


class Attempts:
    """Counts failures in a row, and waits between them."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0
        self._since = 0.0

    def succeed(self) -> None:
        """Something came through: the next failure is a first one again."""
        self._failures = 0

    async def fail(self, error: ImagingError) -> None:
        """Wait before the next attempt.

        Raises
        ------
        ImagingError
            The error itself, if it is not worth a retry or patience is at its end.
        """
        now = time.monotonic()
        if self._failures == 0:
            self._since = now
        if not is_worth_retrying(error) or now - self._since >= self._patience.give_up_after.total_seconds():
            raise error
        delay = self._patience.delay_seconds(self._failures, error)
        self._failures += 1
        await asyncio.sleep(delay)
