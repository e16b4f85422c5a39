"""A service with nothing but health: serves, writes logs, drains, and fails as the environment says.

Started by the tests as a child process of `ServiceProcess`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from imaging.rpc.connection_settings import ListenSettings
from imaging.rpc.server import RpcServer
from imaging.supervisor.death_signal import die_with_parent


def log(level: str, message: str) -> None:
    sys.stderr.write(json.dumps({"level": level, "message": message}) + "\n")
    sys.stderr.flush()


async def serve(address: str) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    if os.environ.get("SMALL_DRAINS") == "never":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = RpcServer(ListenSettings(address), {})
    await server.start()
    log("INFO", "serving")
    await ended.wait()
    await server.stop(timedelta(0))


if __name__ == "__main__":
    die_with_parent(os.getppid())
    fails = os.environ.get("SMALL_FAILS")
    if fails is not None:
        log("ERROR", "the service met what it was told to meet")
        sys.exit(int(fails))
    asyncio.run(serve(sys.argv[1]))
    if marker := os.environ.get("SMALL_DRAIN_MARKER"):
        Path(marker).write_text("drained")
