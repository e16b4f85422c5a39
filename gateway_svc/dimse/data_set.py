"""The data set of a message while it arrives: pieces as they came, taken in portions, never all held at once."""

from __future__ import annotations

import asyncio

from gateway_svc.dimse.pdu_stream import PduStream


class AssociationLost(Exception):
    """The association ended before what was to come through it; the text tells how."""


class IncomingDataSet:
    """Pieces in, portions out. What is not taken makes the sender wait.

    Parameters
    ----------
    most_held
        About so many bytes may wait here before the first are taken; later as many as were wanted last.
    """

    def __init__(self, stream: PduStream, most_held: int) -> None:
        self.is_whole = False
        """The last piece has come."""
        self.received_bytes = 0
        self._stream = stream
        self._wanted = most_held
        self._pieces: list[bytes] = []
        self._held = 0
        self._is_paused = False
        self._is_skipped = False
        self._lost: AssociationLost | None = None
        self._arrived: asyncio.Future[None] | None = None

    @property
    def is_exhausted(self) -> bool:
        """True when the last piece has come and was taken."""
        return self.is_whole and not self._pieces

    def add(self, piece: bytes) -> None:
        """A piece has come."""
        self.received_bytes += len(piece)
        if self._is_skipped:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > self._wanted:
            self._wake()
            if not self._is_paused:
                self._is_paused = True
                self._stream.pause()

    def end(self) -> None:
        """The last piece has come."""
        self.is_whole = True
        self._wake()

    def lose(self, error: AssociationLost) -> None:
        """Nothing more will come."""
        if not self.is_whole:
            self._lost = error
            self._wake()

    async def take(self, most: int) -> list[bytes]:
        """What has come, as soon as it is more than `most` bytes or the data set is whole.

        Raises
        ------
        AssociationLost
            If the association ended before.
        """
        while not (self.is_whole or self._held > most):
            if self._lost is not None:
                raise self._lost
            self._wanted = most
            self._arrived = asyncio.get_running_loop().create_future()
            self._resume()
            await self._arrived
        pieces, self._pieces, self._held = self._pieces, [], 0
        self._resume()
        return pieces

    async def skip(self) -> None:
        """Throw away what comes, until the end.

        Raises
        ------
        AssociationLost
            If the association ended before.
        """
        self._is_skipped = True
        self._pieces.clear()
        self._held = 0
        await self.take(0)

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._stream.resume()
