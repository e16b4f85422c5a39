"""uvicorn inside the service's own event loop: TLS, limits and an end that lets requests finish."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import uvicorn

from gateway_svc.http.protocol import LimitedProtocol
from gateway_svc.listening import listening_socket
from imaging.rpc.connection_settings import ListenSettings

KEEP_ALIVE_SECONDS: Final = 75
"""An idle connection stays open longer than the 60 s of usual proxies, so that none of theirs is used too late."""


class HttpServer:
    """Serves an ASGI app where the settings say.

    Parameters
    ----------
    listen
        Where, and with which certificate. Its token is checked by the app.
    app
        The ASGI app.
    """

    def __init__(self, listen: ListenSettings, app: Any) -> None:
        self._listen = listen
        self._config = uvicorn.Config(
            app,
            loop="none",
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_certfile=listen.certificate_file,
            ssl_keyfile=listen.key_file,
        )
        # It would tell as errors what the app has told already, and every port scan.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server = _Server(self._config)
        self._serving: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> int:
        """Bind and serve; the port.

        Raises
        ------
        Unavailable
            The address cannot be bound.
        """
        bound = listening_socket(self._listen.address)
        self.port = int(bound.getsockname()[1])
        self._serving = asyncio.create_task(self._server.serve([bound]), name="http")
        started = asyncio.create_task(self._server.is_started.wait())
        await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._serving.done():
            self._serving.result()
        return self.port

    async def stop(self, grace: timedelta) -> None:
        """Accept nothing more, let running requests end within `grace`, then break them off."""
        if self._serving is None:
            return
        self._config.timeout_graceful_shutdown = max(1, int(grace.total_seconds()))
        self._server.should_exit = True
        await asyncio.wait({self._serving}, timeout=grace.total_seconds() + 5)
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)


class _Server(uvicorn.Server):
    """Leaves signals to the process, which drains all its doors."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_started = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_started.set()
