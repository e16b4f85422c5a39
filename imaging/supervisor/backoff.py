"""How long to wait before a service that died is started again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(slots=True)
class Backoff:
    """Doubles with every short life of the service, and begins anew after a long one."""

    first: timedelta = timedelta(milliseconds=200)
    longest: timedelta = timedelta(seconds=5)
    """Short enough that a service which others wait for is back well within the patience of its clients."""

    long_life: timedelta = timedelta(seconds=10)
    short_lives: int = 0

    def after(self, lifetime: timedelta) -> timedelta:
        """The wait after a life of that length."""
        self.short_lives = 0 if lifetime >= self.long_life else self.short_lives + 1
        doublings = min(max(self.short_lives - 1, 0), 16)
        return min(self.first * (1 << doublings), self.longest)

    @property
    def is_looping(self) -> bool:
        """True when the last three lives in a row were short."""
        return self.short_lives >= 3
