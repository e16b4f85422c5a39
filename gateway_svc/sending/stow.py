"""Sending by STOW-RS (PS3.18 10.5): one instance a request, some requests side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import httpx

from gateway_svc.dimse.stored_object import StoredObject
from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.sending.outcome import OnOutcome
from imaging.client.patience import Attempts, Patience
from imaging.dicom.preamble import harmless_preamble
from imaging.errors import (
    FailedPrecondition,
    ImagingError,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from imaging.storage.v1 import storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_SIDE_BY_SIDE: Final = 4
_BOUNDARY: Final = "imaging-instance-9d1fe2a7c4"
_HEAD: Final = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
_TAIL: Final = f"\r\n--{_BOUNDARY}--\r\n".encode("ascii")
_MOST_ANSWER_BYTES: Final = 1024 * 1024
_FAILED_SOP_SEQUENCE, _FAILURE_REASON = "00081198", "00081197"


async def send_by_stow(
    storage: StorageStub,
    client: httpx.AsyncClient,
    wanted: Sequence[Wanted],
    on_outcome: OnOutcome,
    patience: Patience,
) -> None:
    """Send each instance; a server that is away or busy is tried again for as long as `patience` allows.

    Parameters
    ----------
    client
        With the base URL of the DICOMweb service.
    """
    waiting = list(reversed(wanted))

    async def one_after_another() -> None:
        while waiting:
            item = waiting.pop()
            attempts = Attempts(patience)
            while True:
                try:
                    await _send(storage, client, item)
                except ImagingError as error:
                    try:
                        await attempts.fail(error)
                    except ImagingError as last:
                        on_outcome(item, last)
                        break
                else:
                    on_outcome(item, None)
                    break

    async with asyncio.TaskGroup() as group:
        for _ in range(_SIDE_BY_SIDE):
            group.create_task(one_after_another())


async def _send(storage: StorageStub, client: httpx.AsyncClient, item: Wanted) -> None:
    with closing(StoredObject(storage, storage_service_pb2.RetrieveInstancesRequest(name=item.name))) as stored:

        async def body() -> AsyncIterator[bytes]:
            yield _HEAD
            is_first = True
            async for content in stored.contents():
                yield harmless_preamble(content) if is_first else content
                is_first = False
            yield _TAIL

        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
            "Content-Length": str(len(_HEAD) + item.size_bytes + len(_TAIL)),
            "Accept": "application/dicom+json",
        }
        try:
            answer = await client.post("studies", content=body(), headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The web server does not answer ({type(error).__name__})",
                where=str(client.base_url),
                hint="Check its address, and that it runs.",
            ) from None
    _check(answer, item, str(client.base_url))


def _check(answer: httpx.Response, item: Wanted, url: str) -> None:
    """Pass if the server has stored the instance."""
    code = answer.status_code
    if code == 200:  # also with warnings, as 0xB000 by DIMSE
        return
    what = f"The web server has not stored the instance: HTTP {code}{_reason(answer)}"
    if code == 401:
        raise Unauthenticated(what, where=url, hint="Check the destination's token_file.")
    if code == 403:
        raise PermissionDenied(what, where=url, hint="Let its administrator allow it.")
    if code in (408, 429, 500, 502, 503, 504, 507):
        raise Overloaded(what, where=url, hint="Try again later.")
    if code == 202 and not _reason(answer):
        return
    raise FailedPrecondition(what, where=item.name, hint="Its log tells more.")


def _reason(answer: httpx.Response) -> str:
    """The Failure Reason of the answer, if it has one."""
    if len(answer.content) > _MOST_ANSWER_BYTES:
        return ""
    try:
        model: Any = json.loads(answer.content)
        reason = model[_FAILED_SOP_SEQUENCE]["Value"][0][_FAILURE_REASON]["Value"][0]
        return f", reason {int(reason):#06x}"
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
