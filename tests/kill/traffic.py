"""Seeded clients that upload studies, complete them, and write down what they were told."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from imaging.client.storage import Patience, StorageClient, Upload
from imaging.errors import ImagingError
from imaging.rpc.channel import open_channel
from tests.ct_series import CtSeries, ct_series
from tests.kill.history import CompletionEntry, History, UploadEntry

LAST_SECONDS = 20
"""For what a client has begun when its time is over."""

LARGE_SIZE = 2100
"""Rows and columns."""


async def send_studies(
    storage: str, seed: int, history: History, large_one_of: int = 0, room: asyncio.Semaphore | None = None
) -> None:
    """Send study after study until `history.until`; each is sent whole, some of them in two parts.

    A client that was told of a failure sends the same instance again, as a PACS does, until it is stored or time is up.

    Parameters
    ----------
    large_one_of
        One study of so many is a single image of 8.8 MB, whose upload can be resumed; none if 0.
    room
        Taken once before each study; somebody else gives it back. None: send as fast as it goes.
    """
    chance = random.Random(seed)
    number = 0
    async with open_channel(storage) as channel:
        client = StorageClient(channel, patience=_impatient())
        while history.now() < history.until:
            if room is not None:
                await room.acquire()
            number += 1
            is_large = bool(large_one_of) and number % large_one_of == 0
            slices, size = (1, LARGE_SIZE) if is_large else (chance.randint(4, 9), 48)
            series = await asyncio.to_thread(ct_series, f"kill-{seed}-{number}", slices=slices, size=size)
            # Two parts with a pause make the gap in which a service may die with a study half sent.
            uids = list(series.instances)
            cut = chance.randint(1, len(uids))
            sent = await _send(client, series, uids[:cut], history)
            await asyncio.sleep(chance.uniform(0, 0.4))
            sent &= await _send(client, series, uids[cut:], history)
            if sent:
                await _complete(client, series, history)
            await asyncio.sleep(chance.uniform(0, 0.6))


def _impatient() -> Patience:
    # Failures are to be seen and written down here, not hidden by the client.
    return Patience(give_up_after=timedelta(seconds=3))


async def _send(client: StorageClient, series: CtSeries, uids: list[str], history: History) -> bool:
    waiting = dict.fromkeys(uids)
    while waiting and history.now() < history.until + LAST_SECONDS:
        answered: set[str] = set()
        error = ""
        try:
            uploads = [Upload(uid, series.instances[uid]) for uid in waiting]
            async for result in client.store(uploads, source="kill-test"):
                answered.add(result.upload_id)
                told_error = result.error.reason if result.error else ""
                _note(history, series, result.upload_id, told_error)
                if not told_error:
                    waiting.pop(result.upload_id)
        except ImagingError as failed:
            error = failed.reason
        except Exception as failed:  # noqa: BLE001 - this is what the test looks for
            history.untyped.append(f"store: {type(failed).__name__}: {failed}")
            error = "UNTYPED"
        for uid in list(waiting):
            if uid not in answered and error:
                _note(history, series, uid, error)
        if waiting:
            await asyncio.sleep(0.2)
    return not waiting


def _note(history: History, series: CtSeries, uid: str, error: str) -> None:
    history.uploads.append(
        UploadEntry(history.now(), series.study, uid, series.instances[uid], "failed" if error else "stored", error)
    )


async def _complete(client: StorageClient, series: CtSeries, history: History) -> None:
    while history.now() < history.until + LAST_SECONDS:
        try:
            manifest = await client.complete_study(series.study, list(series.instances))
        except ImagingError as failed:
            history.failed_completions.append(failed.text)
            await asyncio.sleep(0.3)
        except Exception as failed:  # noqa: BLE001 - this is what the test looks for
            history.untyped.append(f"complete: {type(failed).__name__}: {failed}")
            return
        else:
            uids, trace_id = frozenset(series.instances), manifest.traceparent.split("-")[1]
            history.completions.append(CompletionEntry(history.now(), series.study, manifest.version, uids, trace_id))
            return
