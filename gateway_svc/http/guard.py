"""Who may ask: names under which we are reached, foreign pages, the bearer token."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.refusals import Misdirected
from imaging.errors import PermissionDenied, Unauthenticated
from imaging.settings import Settings

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))

EVERY_ANSWER: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

_EXPOSED: Final = b"content-location, content-range, accept-ranges, etag, location, retry-after, warning, x-total-count"


class Guard:
    """Checks that come before any work.

    Parameters
    ----------
    token
        That every request must carry; empty: none is asked for.
    """

    def __init__(self, settings: Settings, token: str) -> None:
        own = settings.gateway.http_address.rpartition(":")[0]
        self._hosts = {"localhost", own.lower(), *(name.lower() for name in settings.gateway.http_hosts)}
        self._origins = frozenset(settings.gateway.http_cors_origins)
        self._token = token.encode()

    def admit(self, exchange: Exchange) -> None:
        """Pass if the request comes by a name of ours and, where it changes something, from no foreign page.

        Raises
        ------
        Misdirected, PermissionDenied
            If not.
        """
        self._check_host(exchange.header(b"host"))
        origin = exchange.header(b"origin")
        if origin in self._origins:
            exchange.extra_headers += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", _EXPOSED),
                (b"vary", b"Origin"),
            ]
        elif exchange.method not in SAFE_METHODS and (
            exchange.header(b"sec-fetch-site") in ("cross-site", "same-site")
            or (origin and origin != "null" and origin.rpartition("//")[2] != exchange.header(b"host"))
            or origin == "null"
        ):
            raise PermissionDenied(
                "A page of another origin may not change anything here",
                where="Origin",
                hint="Add the origin to gateway.http_cors_origins if you trust its pages.",
            )

    def is_preflight(self, exchange: Exchange) -> bool:
        """True for a browser that asks whether a foreign page may."""
        return exchange.method == "OPTIONS" and bool(exchange.header(b"access-control-request-method"))

    async def answer_preflight(self, exchange: Exchange) -> None:
        """Tell a trusted page what it may do, and any other nothing."""
        headers: list[Header] = []
        if exchange.header(b"origin") in self._origins:
            headers = [
                (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
                (b"access-control-allow-headers", b"accept, authorization, content-type, if-none-match, range"),
                (b"access-control-max-age", b"600"),
            ]
        await exchange.send(204, headers)

    def check_token(self, exchange: Exchange) -> None:
        """Pass if the bearer token is right, or none is asked for.

        Raises
        ------
        Unauthenticated
            If not.
        """
        if not self._token:
            return
        given = exchange.header(b"authorization").encode("latin-1")
        scheme, _, token = given.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
            raise Unauthenticated(
                "No valid bearer token came with the request",
                where="Authorization",
                hint="Send `Authorization: Bearer` with what is in `security.token_file` of the gateway.",
            )

    def _check_host(self, header: str) -> None:
        # Rebinding needs a name: a browser that was told an address sends that address.
        host = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() and not header.endswith("]") else header
        host = host.lower().rstrip(".")
        if not host or host in self._hosts or "*" in self._hosts or _is_address(host):
            return
        raise Misdirected(
            "The request came by a name that is not ours",
            where="Host",
            hint="Add the name to gateway.http_hosts if users reach this gateway by it.",
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
