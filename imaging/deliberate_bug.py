"""Deliberate bugs, off unless a test asks: they prove that the kill test can fail.

A check that has never failed proves nothing. `IMAGING_TEST_BUG=<name>` switches one of these on for one process tree;
the kill test runs once without and once with each, and must catch each.
"""

from __future__ import annotations

import os
from typing import Final, Literal

BugName = Literal["acknowledge-before-commit", "new-uids-on-retry", "skip-cursor"]

VARIABLE: Final = "IMAGING_TEST_BUG"


def active(name: BugName) -> bool:
    """True when this bug was asked for. Read on every call, so that a test may switch it inside one process."""
    return os.environ.get(VARIABLE) == name
