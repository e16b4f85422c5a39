"""The outermost ASGI app: admission, checks, areas by the first segment of the path, and the last door for errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway_svc.http.exchange import ClientGone, Exchange
from gateway_svc.http.guard import EVERY_ANSWER, Guard
from gateway_svc.http.observed import Observer
from gateway_svc.http.problem import send_problem
from imaging.errors import ImagingError, Internal, NotFound, Overloaded

Area = Callable[[Exchange], Awaitable[None]]
"""Answers requests below one path."""

MAX_REQUESTS: Final = 512
"""More are shed at once with 503; slow ones count too."""

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Others are told as one in metrics, so that nobody can make up new ones without end."""

_log = logging.getLogger(__name__)


class WebApp:
    """Serves areas.

    Parameters
    ----------
    areas
        By the first segment of the path; the one under an empty name gets all others.
    open_areas
        Names of areas that check credentials themselves, or need none.
    """

    def __init__(self, guard: Guard, areas: Mapping[str, Area], open_areas: frozenset[str] = frozenset()) -> None:
        self._guard = guard
        self._areas = dict(areas)
        self._open = open_areas
        self._observer = Observer()
        self._served = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI 3; only HTTP."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        exchange.extra_headers.extend(EVERY_ANSWER)
        if exchange.method not in METHODS:
            exchange.method = "OTHER"
        self._served += 1
        try:
            with self._observer.observe(exchange):
                await self._answered(exchange)
        finally:
            self._served -= 1

    async def _answered(self, exchange: Exchange) -> None:
        try:
            await self._serve(exchange)
        except ClientGone:
            exchange.status = exchange.status or 499
        except ImagingError as error:
            await self._tell(exchange, error)
        except Exception:  # noqa: BLE001 - the last door: nothing untyped may reach a client
            _log.exception("unforeseen error in a request", extra={"route": exchange.route})
            await self._tell(exchange, Internal("The gateway met a defect", hint="Its log tells more."))

    async def _serve(self, exchange: Exchange) -> None:
        if self._served > MAX_REQUESTS:
            raise Overloaded(
                f"The gateway serves {MAX_REQUESTS} requests already", hint="Try again later.", retry_after_seconds=2
            )
        self._guard.admit(exchange)
        if self._guard.is_preflight(exchange):
            await self._guard.answer_preflight(exchange)
            return
        first = exchange.path.split("/", 2)[1] if exchange.path.startswith("/") else ""
        name = first if first in self._areas else ""
        area = self._areas.get(name)
        if area is None:
            raise NotFound("There is no such page", where="path", hint="DICOMweb is below /dicom-web.")
        if name not in self._open:
            self._guard.check_token(exchange)
        await area(exchange)

    async def _tell(self, exchange: Exchange, error: ImagingError) -> None:
        if exchange.status:
            # The answer has begun. It is left unfinished, so that the connection breaks and nobody takes it for whole.
            _log.warning("an answer broke off", extra={"route": exchange.route, "reason": error.reason})
            exchange.status = 500
            return
        try:
            await send_problem(exchange, error)
        except ClientGone:
            exchange.status = exchange.status or 499
