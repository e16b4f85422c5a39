"""How an acceptor has the gateway write down what it owes: lines of JSON over a socket that both were born with.

The database of a gateway is open in one process. What an acceptor was at is released when its end of the socket closes,
however it died.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from itertools import count
from typing import Any, Final

from gateway_svc.dimse.commitment import MOST_BYTES, CommitmentRequest
from gateway_svc.dimse.owed_reports import Owed, OwedReports
from imaging.errors import ImagingError, Unavailable

_log = logging.getLogger(__name__)
_ANSWER_SECONDS: Final = 20.0


class Ledger:
    """The acceptor's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._reading = asyncio.create_task(self._read(), name="ledger")

    @classmethod
    async def open(cls, end: socket.socket) -> Ledger:
        """The ledger behind a socket."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def keep(self, ae_title: str, request: CommitmentRequest) -> Owed:
        """A report is owed from now on, whatever happens to this process.

        Raises
        ------
        Unavailable
            If it could not be written down: nothing must be promised.
        """
        references = [list(reference) for reference in request.references]
        owed = Owed(ae_title, request.transaction_uid)
        await self._ask("keep", owed, references=references)
        return owed

    async def settle(self, owed: Owed) -> None:
        """The report was taken. If this cannot be written down, it is sent once more, which does no harm."""
        await self._try("settle", owed)

    async def release(self, owed: Owed) -> None:
        """The association that asked is gone: the report goes over one of the gateway's."""
        await self._try("release", owed)

    async def close(self) -> None:
        """Let go of what is still held."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    async def _try(self, do: str, owed: Owed) -> None:
        try:
            await self._ask(do, owed)
        except ImagingError as error:
            _log.warning("the gateway did not write down a commitment", extra={"do": do, "error": error.text})

    async def _ask(self, do: str, owed: Owed, **more: Any) -> None:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        line = {"number": number, "do": do, "ae_title": owed.ae_title, "transaction_uid": owed.transaction_uid, **more}
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._writer.write(json.dumps(line).encode("ascii") + b"\n")
                await self._writer.drain()
                problem = await answer
        except (TimeoutError, OSError):
            problem = "the gateway does not answer"
        finally:
            del self._waiting[number]
        if problem:
            raise Unavailable(f"A commitment cannot be written down: {problem}", hint="Ask again later.")

    async def _read(self) -> None:
        while line := await self._reader.readline():
            answer = json.loads(line)
            waiting = self._waiting.get(answer["number"])
            if waiting is not None and not waiting.done():
                waiting.set_result(answer["problem"])


async def keep_ledger(end: socket.socket, reports: OwedReports, held: set[Owed]) -> None:
    """The gateway's end: write down what an acceptor says, until its end closes; `held` is what acceptors are at."""
    reader, writer = await asyncio.open_unix_connection(sock=end, limit=2 * MOST_BYTES)
    own: set[Owed] = set()
    try:
        while (line := await reader.readline()).endswith(b"\n"):  # it may die in the middle of one
            asked = json.loads(line)
            owed, problem = Owed(asked["ae_title"], asked["transaction_uid"]), ""
            try:
                if asked["do"] == "keep":
                    references = tuple((sop_class, uid) for sop_class, uid in asked["references"])
                    await reports.keep(owed.ae_title, CommitmentRequest(owed.transaction_uid, references))
                    own.add(owed)
                    held.add(owed)
                else:
                    own.discard(owed)
                    held.discard(owed)
                    await (reports.settle(owed) if asked["do"] == "settle" else reports.release((owed,)))
            except ImagingError as error:
                problem = error.what
            except Exception:  # noqa: BLE001 - what comes next is written down all the same
                _log.exception("the ledger met a defect")
                problem = "the gateway met a defect"
            writer.write(json.dumps({"number": asked["number"], "problem": problem}).encode("ascii") + b"\n")
            await writer.drain()
    except ConnectionError:
        pass  # it died
    finally:
        writer.close()
        held -= own
        try:
            await reports.release(own)
        except ImagingError as error:  # nobody holds them any more: they are due in two minutes without this too
            _log.warning("commitments cannot be released now", extra={"error": error.text})
