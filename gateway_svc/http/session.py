"""Sessions of browsers: a signed cookie instead of the token itself, and what proves that our own page asks.

Both need no memory, so that any replica of the gateway knows the sessions of the others, and a restart ends none.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Final

from gateway_svc.http.exchange import Exchange, Header

LIFETIME_SECONDS: Final = 12 * 3600
"""A working day; then the token is asked for again."""

CSRF_HEADER: Final = b"x-csrf-token"


class Sessions:
    """Makes and checks sessions.

    Parameters
    ----------
    token
        The bearer token of the installation, which signs them: a new token ends them all. Empty: anybody may have a
        session, which then says only that it was us who gave it to this browser.
    """

    def __init__(self, token: str) -> None:
        self._key = hashlib.sha256(b"imaging session\0" + token.encode()).digest()

    def begin(self, exchange: Exchange) -> str:
        """A new session, given to the browser with the answer."""
        session = f"{int(time.time()) + LIFETIME_SECONDS:x}.{secrets.token_hex(16)}"
        session = f"{session}.{self._sign('session', session)}"
        exchange.extra_headers.append(self._cookie(exchange, session, LIFETIME_SECONDS))
        return session

    def end(self, exchange: Exchange) -> None:
        """Let the browser forget its session with the answer."""
        exchange.extra_headers.append(self._cookie(exchange, "", 0))

    def of(self, exchange: Exchange) -> str:
        """The session that a request carries; empty if there is none, or it is forged or over."""
        name = _name(exchange)
        for pair in exchange.header(b"cookie").split(";"):
            key, _, session = pair.strip().partition("=")
            if key == name and self._is_good(session):
                return session
        return ""

    def csrf_token(self, session: str) -> str:
        """What our own page sends along with each change: others cannot read it, as the cookie is closed to scripts."""
        return self._sign("csrf", session)

    def is_own_page(self, exchange: Exchange, session: str) -> bool:
        """True if the request carries the CSRF token of its session."""
        given = exchange.header(CSRF_HEADER).encode("latin-1")
        return bool(session) and hmac.compare_digest(given, self.csrf_token(session).encode())

    def _is_good(self, session: str) -> bool:
        head, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature.encode("latin-1"), self._sign("session", head).encode()):
            return False
        return int(head.partition(".")[0], 16) > time.time()

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode("latin-1"), hashlib.sha256).hexdigest()

    @staticmethod
    def _cookie(exchange: Exchange, value: str, seconds: int) -> Header:
        secure = "; Secure" if _is_https(exchange) else ""
        text = f"{_name(exchange)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
        return b"set-cookie", text.encode("latin-1")


def _is_https(exchange: Exchange) -> bool:
    return exchange.base_url.startswith("https:")


def _name(exchange: Exchange) -> str:
    # Cookies know hosts and no ports: two gateways on one machine would end each other's sessions.
    return "__Host-imaging" if _is_https(exchange) else f"imaging-{exchange.scope['server'][1]}"
