"""How many instances are being stored right now: whether a commit or a query should wait for company."""

from __future__ import annotations

from types import TracebackType

COMPANY = 24
"""So many in one commit make its cost per instance small."""

LINGER_SECONDS = 0.008
"""How long a commit waits for company; an instance on its own never waits."""

LOOKUP_SECONDS = 0.003
"""How long a question to the index waits for others to be asked with it."""

FEW = 8
"""So many are written before the index is asked for their UIDs, if they are probably new. For more, one question costs
little, and as many objects may have been written in vain."""


class InFlight:
    """Entered with each instance that is being stored."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._count -= 1

    def is_busy(self) -> bool:
        """Whether anything is being stored."""
        return self._count > 0

    def is_few(self) -> bool:
        """Whether so few are being stored that a question to the index is asked for one or two of them."""
        return self._count <= FEW

    def linger(self, waiting: int) -> float:
        """How long a commit of `waiting` instances waits for those that are being made durable just now."""
        return LINGER_SECONDS if waiting < min(COMPANY, self._count) else 0.0

    def linger_to_ask(self, waiting: int) -> float:
        """How long a query for `waiting` UIDs waits for those that are being examined just now."""
        return LOOKUP_SECONDS if waiting < min(COMPANY, self._count // 2) else 0.0
