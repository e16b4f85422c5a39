"""The fence before derived instances: an attempt of a stage is known before it stores, and shuts older ones out."""

from __future__ import annotations

from imaging.errors import InvalidArgument
from storage_svc.index.writer import IndexWriter
from storage_svc.ingest.origin import OriginOf

_REMEMBERED = 10_000
"""Stages whose newest attempt need not be asked for again."""


class AttemptFence:
    """Remembers who has passed: the index is asked once an attempt, not once an instance.

    A forgotten or overtaken attempt is no danger: the index judges each new instance again when it commits it.
    """

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._passed: dict[tuple[str, str], int] = {}

    async def enter(self, origin: OriginOf) -> None:
        """Let an attempt pass, or tell it that it was overtaken.

        Raises
        ------
        InvalidArgument
            If it does not say of which run and stage it is.
        StaleAttempt
            If a newer one has begun to store.
        """
        if not (origin.run and origin.stage and origin.attempt >= 1):
            raise InvalidArgument(
                "A derived instance needs run, stage and attempt",
                where="header.origin",
                hint="Only stages of a run store derived instances; anything else is received.",
            )
        stage = (origin.run, origin.stage)
        if self._passed.get(stage) == origin.attempt:
            return
        await self._writer.begin_attempt(origin)
        while len(self._passed) >= _REMEMBERED:
            del self._passed[next(iter(self._passed))]
        self._passed[stage] = origin.attempt
