"""What a stage has made goes through the gate and then to storage, under its origin."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from imaging.client.storage import StorageClient, Upload
from imaging.gate.answer import gate_answer
from imaging.gate.check import Outgoing, Passed, check_object
from imaging.stage.v1.stage_pb2 import ObjectCheck, StageContext
from imaging.storage.v1 import storage_pb2
from imaging.work.ordered_answers import ordered_answers

_SIDE_BY_SIDE: Final = os.cpu_count() or 1
"""Objects that are checked at a time."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of the objects of a stage."""

    instances: list[storage_pb2.Instance]
    """In the order given."""

    checks: list[ObjectCheck]
    """What the gate compared."""


def derived_origin(context: StageContext) -> storage_pb2.Origin:
    """The origin of what a stage stores."""
    return storage_pb2.Origin(
        kind=storage_pb2.Origin.KIND_DERIVED, run=context.run, stage=context.stage, attempt=context.attempt
    )


async def store_derived(
    storage: StorageClient,
    objects: Sequence[Outgoing] | AsyncIterable[Outgoing],
    origin: storage_pb2.Origin,
    *,
    source: str,
) -> Stored:
    """Check Part 10 objects and store them as DERIVED by a stage.

    Objects that are given at once are all checked before the first is stored, those that come one by one each before
    it is. An object that is stored already, under the UID that the same request gives again, is answered as it is.

    Raises
    ------
    ObjectRefused
        If one is not sound.
    ImagingError
        The first rejection: a stage has all of its output or none to tell.
    """
    passed: list[Passed] = []
    if not isinstance(objects, AsyncIterable):
        passed += await asyncio.to_thread(lambda: [check_object(each) for each in objects])

    async def checked(each: Outgoing) -> tuple[Outgoing, Passed]:
        return each, await asyncio.to_thread(check_object, each)

    async def uploads() -> AsyncIterable[Upload]:
        if isinstance(objects, AsyncIterable):
            async with aclosing(ordered_answers(aiter(objects), checked, most=_SIDE_BY_SIDE)) as found:
                async for each, answer in found:
                    passed.append(answer)
                    yield Upload(str(len(passed)), each.content)
        else:
            for number, each in enumerate(objects, start=1):
                yield Upload(str(number), each.content)

    stored: dict[int, storage_pb2.Instance] = {}
    async for outcome in storage.store(uploads(), origin=origin, source=source):
        if outcome.error is not None:
            raise outcome.error
        if outcome.instance is not None:
            stored[int(outcome.upload_id)] = outcome.instance
    return Stored([stored[number] for number in sorted(stored)], gate_answer(passed))
