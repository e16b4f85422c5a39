"""Who may call, from where, and for what: the AE table."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable
from typing import Final

from gateway_svc.dimse.associate_pdu import APPLICATION_CONTEXT, AssociateRequest
from gateway_svc.dimse.pdu import (
    UNKNOWN_APPLICATION_CONTEXT,
    UNKNOWN_CALLED_AE,
    UNKNOWN_CALLING_AE,
    UNKNOWN_PROTOCOL_VERSION,
    Rejection,
)
from gateway_svc.dimse.sop_classes import ALL_VERBS, Verb
from imaging.settings.gateway import Peer

_NAMES_KEPT_SECONDS: Final = 60.0


class Refused(Exception):
    """An association that is not accepted; the text says why, for our log."""

    def __init__(self, rejection: Rejection, why: str) -> None:
        super().__init__(why)
        self.rejection = rejection


class Callers:
    """Admits calling AEs.

    Parameters
    ----------
    peers
        The table.
    ae_title
        Our own, which those of the table must call.
    """

    def __init__(self, peers: Iterable[Peer], ae_title: str) -> None:
        self._peers = tuple(peers)
        self._ae_title = ae_title
        self._addresses: dict[str, tuple[float, frozenset[str]]] = {}

    async def admit(
        self, request: AssociateRequest, host: str, *, is_encrypted: bool, is_open: bool
    ) -> frozenset[Verb]:
        """What the caller may ask for.

        Parameters
        ----------
        host
            The address that it calls from.
        is_open
            Take callers that are not in the table, under any called AE title.

        Raises
        ------
        Refused
            If it may not call.
        """
        if not request.protocol_version & 1:
            raise Refused(UNKNOWN_PROTOCOL_VERSION, "the protocol version is unknown")
        if request.application_context != APPLICATION_CONTEXT:
            raise Refused(UNKNOWN_APPLICATION_CONTEXT, "the application context is not DICOM's")
        named = [peer for peer in self._peers if peer.ae_title == request.calling_ae_title]
        here = [peer for peer in named if await self._is_from(peer, host)]
        fitting = [peer for peer in here if is_encrypted or not peer.tls]
        if is_open and not fitting:
            return ALL_VERBS
        if not named:
            raise Refused(UNKNOWN_CALLING_AE, "the calling AE title is not in gateway.peers")
        if not here:
            raise Refused(UNKNOWN_CALLING_AE, "the calling AE title comes from a host that is not its own")
        if not fitting:
            raise Refused(UNKNOWN_CALLING_AE, "the calling AE must speak TLS")
        if not is_open and request.called_ae_title != self._ae_title:
            raise Refused(UNKNOWN_CALLED_AE, "the called AE title is not gateway.ae_title")
        return frozenset(Verb(verb) for peer in fitting for verb in peer.may)

    async def _is_from(self, peer: Peer, host: str) -> bool:
        if not peer.hosts:
            return True
        address = _address(host)
        for allowed in peer.hosts:
            try:
                if address is not None and address in ipaddress.ip_network(allowed, strict=False):
                    return True
            except ValueError:  # a name
                if host in await self._resolved(allowed):
                    return True
        return False

    async def _resolved(self, name: str) -> frozenset[str]:
        """The addresses of a name; none while it cannot be resolved."""
        until, addresses = self._addresses.get(name, (0.0, frozenset()))
        if time.monotonic() < until:
            return addresses
        try:
            async with asyncio.timeout(5):
                found = await asyncio.get_running_loop().getaddrinfo(name, None)
            addresses = frozenset(str(entry[4][0]) for entry in found)
        except (OSError, TimeoutError):
            addresses = frozenset()
        self._addresses[name] = (time.monotonic() + _NAMES_KEPT_SECONDS, addresses)
        return addresses


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
