"""Failed sends are tried again: those whose time has come by themselves, and one that a person asks for at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway_svc.destinations import destination_of
from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.sending.failed_sends import FailedSends
from gateway_svc.sending.send_instances import instances_of, send_instances
from gateway_svc.sending.written_down import written_down
from imaging.client.patience import Patience
from imaging.errors import ImagingError
from imaging.gateway.v1 import gateway_pb2
from imaging.settings import Settings

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_log = logging.getLogger(__name__)

_NO_PATIENCE: Final = Patience(give_up_after=timedelta(0))
_AT_ONCE: Final = 50
_BUSY_FOR: Final = timedelta(minutes=2)
"""What one replica is at another one keeps off; one that died in it has left it for so long."""

_RENEW_EVERY_S: Final = 30.0
_ASK_AGAIN_S: Final = 0.2
_LONGEST_WAIT_S: Final = 60.0
"""Of a person for a send that somebody is at already."""


class Resender:
    """Tries failed sends again, each destination by itself: a slow one delays no other."""

    def __init__(self, settings: Settings, storage: StorageStub, failed: FailedSends) -> None:
        self._settings = settings
        self._storage = storage
        self._failed = failed
        self._look_every_s = min(15.0, settings.gateway.send_again_seconds)
        self._ending = asyncio.Event()
        self._under_way: set[str] = set()
        """Destinations."""

    def end(self) -> None:
        """Begin no more: `run` comes back when what is on its way was taken or not."""
        self._ending.set()

    async def run(self) -> None:
        """Try again what is due, until `end` or cancelled."""
        async with asyncio.TaskGroup() as destinations:
            while not self._ending.is_set():
                try:
                    for name in set(await self._failed.due_destinations()) - self._under_way:
                        self._under_way.add(name)
                        destinations.create_task(self._send_due(name), name=f"send-again {name}")
                except ImagingError as error:
                    _log.warning("failed sends cannot be read now", extra={"error": error.text})
                except Exception:  # noqa: BLE001 - a defect here must not keep what is sent now from being sent
                    _log.exception("failed sends met a defect")
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_every_s):
                        await self._ending.wait()

    async def retry(self, name: str) -> gateway_pb2.FailedSend | None:
        """Try one now; None if it was sent, else it as it has failed again.

        One that somebody is at already is not sent a second time: what becomes of that is waited for, for a minute.

        Raises
        ------
        InvalidArgument
            If it is no name of a failed send.
        """
        taken = await self._take(name)
        if taken is not None:
            await self._send(taken.destination, [taken])
        return await self._failed.get(name)

    async def _take(self, name: str) -> gateway_pb2.FailedSend | None:
        """It; None if it left the list, if who was at it has tried it, or is at it for too long."""
        found = asked = await self._failed.get(name)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT_S):
                while asked is not None and found is not None and found.attempts == asked.attempts:
                    if (taken := await self._failed.take(name, _BUSY_FOR)) is not None:
                        return taken
                    await asyncio.sleep(_ASK_AGAIN_S)
                    found = await self._failed.get(name)
        return None

    async def _send_due(self, destination: str) -> None:
        try:
            while not self._ending.is_set() and (due := await self._failed.take_due(destination, _BUSY_FOR, _AT_ONCE)):
                await self._send(destination, due)
        except ImagingError as error:
            _log.warning("failed sends cannot be tried again now", extra={"error": error.text})
        except Exception:  # noqa: BLE001 - a defect that one destination meets must not keep the others from being sent
            _log.exception("failed sends met a defect")
        finally:
            self._under_way.discard(destination)

    async def _send(self, name: str, taken: Sequence[gateway_pb2.FailedSend]) -> None:
        """Try what was taken, and write down what became of it; what was not tried is free again, whatever happens."""
        left = {one.instance: one.name for one in taken}
        record = partial(self._failed.record, name, is_again=True)
        async with self._kept_busy(left.values()), written_down(record) as tell:

            def on_outcome(item: Wanted, error: ImagingError | None) -> None:
                left.pop(item.name, None)
                tell(item, error)

            wanted: list[Wanted] = []
            for instance in list(left):
                try:
                    destination = destination_of(name, self._settings.gateway.destinations)
                    wanted += await instances_of(self._storage, [instance])
                except ImagingError as error:  # deleted since, or the destination is not in the settings any more
                    on_outcome(Wanted(instance, "", ""), error)
            if wanted:
                await send_instances(self._storage, destination, self._settings, wanted, on_outcome, _NO_PATIENCE)

    @asynccontextmanager
    async def _kept_busy(self, names: Collection[str]) -> AsyncIterator[None]:
        """Nobody else takes these, as long as they are in the collection; at the end those that still are, are free."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(_RENEW_EVERY_S)
                with suppress(ImagingError):  # it lasts a few more times
                    await self._failed.keep_busy(list(names), _BUSY_FOR)

        renewing = asyncio.create_task(renew(), name="kept-busy")
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(ImagingError):  # it ends by itself
                await self._failed.release(list(names))
