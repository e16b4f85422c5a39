"""Who may ask: names under which we are reached, foreign pages, the bearer token or the session of a browser."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.refusals import CsrfTokenMissing, Misdirected
from gateway_svc.http.session import Sessions
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
        That every request must carry, unless it has a session; empty: none is asked for.
    """

    def __init__(self, settings: Settings, token: str) -> None:
        own = [address.rpartition(":")[0] for address in (settings.gateway.http_address, settings.front.address)]
        self._hosts = {"localhost", *(name.lower() for name in (*own, *settings.gateway.http_hosts))} - {""}
        self._origins = frozenset(settings.gateway.http_cors_origins)
        self._token = token.encode()
        self.sessions = Sessions(token)

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

    @property
    def asks_for_token(self) -> bool:
        """True if one is set."""
        return bool(self._token)

    def is_token(self, given: str) -> bool:
        """True if it is the token of this installation; compared in constant time."""
        return bool(self._token) and hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token)

    def check_token(self, exchange: Exchange) -> None:
        """Pass if the bearer token is right, or the browser has signed in, or neither is asked for.

        Raises
        ------
        Unauthenticated
            If not.
        CsrfTokenMissing
            If a browser that has signed in changes something, and not by our own page.
        """
        if not self._token or self._has_bearer_token(exchange):
            return
        if not self.sessions.of(exchange):
            raise Unauthenticated(
                "No valid bearer token came with the request",
                where="Authorization",
                hint="Send `Authorization: Bearer` with what is in `security.token_file` of the gateway.",
            )
        self.check_own_page(exchange)

    def check_own_page(self, exchange: Exchange) -> None:
        """Pass if the request changes nothing, comes from our own page, or has the bearer token, which no page knows.

        Raises
        ------
        CsrfTokenMissing
            If not.
        """
        if exchange.method in SAFE_METHODS or self._has_bearer_token(exchange):
            return
        if not self.sessions.is_own_page(exchange, self.sessions.of(exchange)):
            raise CsrfTokenMissing(
                "The request does not prove that it comes from our own page",
                where="X-CSRF-Token",
                hint="Send the csrfToken that /api/session tells, with its cookie; or the bearer token.",
            )

    def _has_bearer_token(self, exchange: Exchange) -> bool:
        scheme, _, token = exchange.header(b"authorization").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(token)

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
