"""The ASGI app behind the HTTP door."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def _alive(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


def web_app() -> Starlette:
    """The routes."""
    return Starlette(routes=[Route("/healthz", _alive)])
