"""Signing in and out of the web page, and what the page has to know before anything else."""

from __future__ import annotations

from importlib.metadata import version

from gateway_svc.http.exchange import Exchange
from gateway_svc.http.guard import Guard
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import json_body, send_json
from imaging.errors import Unauthenticated


class SessionPages:
    """The session of the browser that asks."""

    def __init__(self, guard: Guard, viewer_url: str) -> None:
        self._guard = guard
        self._viewer_url = viewer_url

    def routes(self) -> list[Route]:
        """Their paths."""
        return [Route("/session", {"GET": self._tell, "POST": self._sign_in, "DELETE": self._sign_out}, open=True)]

    async def _tell(self, exchange: Exchange) -> None:
        """Where no token is asked for, anybody gets a session: its CSRF token is needed for changes all the same."""
        session = self._guard.sessions.of(exchange)
        if not session and not self._guard.asks_for_token:
            session = self._guard.sessions.begin(exchange)
        await self._send(exchange, session)

    async def _sign_in(self, exchange: Exchange) -> None:
        token = (await json_body(exchange)).get("token")
        if not isinstance(token, str) or not self._guard.is_token(token):
            raise Unauthenticated(
                "This is not the token of the installation",
                where="token",
                hint="It is in the file that `security.token_file` names.",
            )
        await self._send(exchange, self._guard.sessions.begin(exchange))

    async def _sign_out(self, exchange: Exchange) -> None:
        self._guard.sessions.end(exchange)
        await self._send(exchange, "")

    async def _send(self, exchange: Exchange, session: str) -> None:
        await send_json(
            exchange,
            {
                "signedIn": bool(session),
                "asksForToken": self._guard.asks_for_token,
                "csrfToken": self._guard.sessions.csrf_token(session) if session else "",
                "viewerUrl": self._viewer_url,
                "version": version("imaging-pipeline"),
            },
        )
