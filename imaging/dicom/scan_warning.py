"""What is odd about an instance, without being a reason to refuse it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScanWarning:
    """One oddity. `code` is stable (`pixel_mismatch`, `odd_length`, ...); no field holds a value of the data set."""

    code: str
    where: str
    message: str


class WarningLog:
    """Collects warnings up to a number, and counts those beyond it."""

    __slots__ = ("_limit", "_suppressed", "_warnings")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._suppressed = 0
        self._warnings: list[ScanWarning] = []

    @property
    def is_full(self) -> bool:
        """True when a further warning would only be counted, so that its text need not be made."""
        return len(self._warnings) >= self._limit

    def add(self, code: str, where: str, message: str) -> None:
        """Keep the warning, or count it."""
        if self.is_full:
            self._suppressed += 1
        else:
            self._warnings.append(ScanWarning(code, where, message))

    def warnings(self) -> tuple[ScanWarning, ...]:
        """All warnings in the order in which they came, the last one telling how many were left out."""
        if not self._suppressed:
            return tuple(self._warnings)
        left_out = ScanWarning("more_warnings", "", f"{self._suppressed} further warnings are not listed")
        return (*self._warnings, left_out)


def has_warning(warnings: Sequence[ScanWarning], code: str) -> bool:
    """True if one of the warnings has this code."""
    return any(warning.code == code for warning in warnings)
