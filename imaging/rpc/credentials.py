"""Who may call: a bearer token, checked for every call but health checks."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from imaging.errors import Unauthenticated
from imaging.rpc.around import Around, Call

HEALTH_SERVICE: Final = "grpc.health.v1.Health"


def bearer_token(token: str) -> Around:
    """Refuse calls without `authorization: Bearer <token>`; compared in constant time."""
    expected = f"Bearer {token}".encode()

    @asynccontextmanager
    async def check(call: Call) -> AsyncIterator[None]:
        given = (call.metadata("authorization") or "").encode()
        if call.service != HEALTH_SERVICE and not hmac.compare_digest(given, expected):
            raise Unauthenticated(
                "No valid bearer token came with the call",
                where=call.name,
                hint="Set `security.token_file` of the client to the file that the server uses.",
            )
        yield

    return check
