"""The area of the web page's JSON: which handler answers which path, and who may ask."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway_svc.http.exchange import Exchange
from gateway_svc.http.guard import Guard
from gateway_svc.http.refusals import MethodNotAllowed
from imaging.errors import NotFound

ROOT: Final = "/api"

Handler = Callable[..., Awaitable[None]]
"""Takes the exchange and what the placeholders of its path stand for."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path with its methods."""

    template: str
    """Below `/api`; `{name}` stands for one segment without a colon."""

    methods: dict[str, Handler]
    open: bool = False
    """Also for who has not signed in, and has no CSRF token yet."""


class WebApi:
    """Answers requests below `/api`."""

    def __init__(self, guard: Guard, routes: list[Route]) -> None:
        self._guard = guard
        self._routes = [(_pattern(route.template), route) for route in routes]

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        path = exchange.path.removeprefix(ROOT)
        for pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            exchange.route = ROOT + route.template
            if not route.open:
                self._guard.check_token(exchange)
                self._guard.check_own_page(exchange)
            handler = route.methods.get("GET" if exchange.method == "HEAD" else exchange.method)
            if handler is None:
                allowed = ", ".join(route.methods)
                raise MethodNotAllowed(
                    "The resource has no such method",
                    where="path",
                    hint=f"It has {allowed}.",
                    metadata={"allow": allowed},
                )
            await handler(exchange, **match.groupdict())
            return
        raise NotFound("There is no such resource", where="path", hint="DICOMweb is below /dicom-web.")


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]{1,200})", template))
