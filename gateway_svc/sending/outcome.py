"""What becomes of an instance that is sent, and of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gateway_svc.dimse.wanted_instances import Wanted
from imaging.errors import ImagingError

OnOutcome: TypeAlias = Callable[[Wanted, ImagingError | None], None]
"""Is told once of each instance: that it was taken (None), or why it was not."""

MOST_TRIES = 3
"""Of an instance that failed for a reason that may pass: one that always breaks the connection must not stop others."""
