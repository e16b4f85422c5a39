"""One thing that `imaging doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckState = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found, and how to fix it."""

    group: str
    name: str
    state: CheckState
    found: str
    hint: str = ""
