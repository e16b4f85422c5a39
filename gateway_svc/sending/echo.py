"""Does a destination answer? C-ECHO, or a search of a web server for one study at most."""

from __future__ import annotations

import asyncio

import httpx

from gateway_svc.dimse import status
from gateway_svc.dimse.command import Command, CommandField
from gateway_svc.dimse.data_set import AssociationLost
from gateway_svc.dimse.remote_aes import remote_ae
from gateway_svc.dimse.requestor import UNCOMPRESSED, associate
from gateway_svc.dimse.sop_classes import VERIFICATION
from gateway_svc.sending.web_server import web_client
from imaging.errors import FailedPrecondition, Unavailable
from imaging.settings import Settings
from imaging.settings.gateway import Destination

_ANSWER_SECONDS = 20.0


async def echo(destination: Destination, settings: Settings) -> None:
    """Pass if it answers.

    Raises
    ------
    ImagingError
        Why it does not.
    """
    if destination.url:
        await _echo_web(destination, settings)
    else:
        await _echo_dimse(destination, settings)


async def _echo_dimse(destination: Destination, settings: Settings) -> None:
    remote = remote_ae(destination, settings)
    association = await associate(remote, settings.gateway.ae_title, [(VERIFICATION, UNCOMPRESSED)])
    try:
        context = next(iter(association.contexts.values()), None)
        if context is None:
            raise FailedPrecondition("The AE does not take C-ECHO", where=remote.ae_title)
        await association.send(context, Command(CommandField.C_ECHO, affected_sop_class_uid=VERIFICATION, message_id=1))
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await association.receive()
        if answer is None or answer.command.status != status.SUCCESS:
            raise FailedPrecondition("The AE has answered C-ECHO with an error", where=remote.ae_title)
        await association.release()
    except (AssociationLost, TimeoutError) as error:
        raise Unavailable(
            f"The AE did not answer C-ECHO: {str(error) or 'time is over'}", where=remote.ae_title
        ) from None
    finally:
        if association.is_open:
            association.abort()


async def _echo_web(destination: Destination, settings: Settings) -> None:
    async with web_client(destination, settings) as client:
        try:
            answer = await client.get(
                "studies", params={"limit": 1}, headers={"Accept": "application/dicom+json"}, timeout=_ANSWER_SECONDS
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The web server does not answer ({type(error).__name__})",
                where=destination.url,
                hint="Check its address, and that it runs.",
            ) from None
    if answer.status_code not in (200, 204):
        raise FailedPrecondition(
            f"The web server answers a search with HTTP {answer.status_code}",
            where=destination.url,
            hint="Check the URL (it ends before /studies) and the destination's token_file.",
        )
