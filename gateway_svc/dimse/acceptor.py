"""The process that takes associations: several share the listening sockets, which they inherit from the gateway.

Started as `python -m gateway_svc.dimse.acceptor PARENT_PID LEDGER_FD FD...` by `acceptors.py`: the socket of
`ledger.py`, then one for each address of `imaging.settings.dimse`, in that order. Settings come by the environment.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial

import uvloop

from gateway_svc.dimse.associate_pdu import AssociateRequest
from gateway_svc.dimse.callers import Callers
from gateway_svc.dimse.connection import DoorLimits
from gateway_svc.dimse.door import Door
from gateway_svc.dimse.ledger import Ledger
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.scp import Scp
from gateway_svc.dimse.sop_classes import SopClasses
from imaging.rpc.channel import open_channel
from imaging.settings import Settings, load_settings
from imaging.settings.dimse import DimseListen, dimse_listen
from imaging.storage.v1 import storage_service_pb2_grpc
from imaging.supervisor.death_signal import die_with_parent
from imaging.telemetry.json_log import log_to_stderr
from imaging.telemetry.log_export import export_logs
from imaging.telemetry.trace_export import export_traces

_log = logging.getLogger(__name__)


async def accept(
    settings: Settings, ledger_end: socket.socket, sockets: Sequence[socket.socket], ended: asyncio.Event
) -> None:
    """Take associations until `ended`, then let them end within `drain_seconds`."""
    own, ledger = settings.gateway, await Ledger.open(ledger_end)
    async with open_channel(settings.storage.address, settings.channel()) as channel:
        scp = Scp(
            storage_service_pb2_grpc.StorageServiceStub(channel),
            remote_aes=RemoteAes(settings),
            ledger=ledger,
            answer_seconds=own.dimse_answer_seconds,
        )
        door = Door(
            callers=Callers(own.peers.values(), own.ae_title),
            sop_classes=SopClasses(own.dimse_storage_classes),
            serve=scp.serve,
            on_refused=_note_refusal,
            limits=DoorLimits(own.dimse_max_associations, own.dimse_artim_seconds, own.dimse_idle_seconds),
        )
        servers = [
            await _listen(door, bound, listen, own.dimse_artim_seconds)
            for bound, listen in zip(sockets, dimse_listen(settings), strict=True)
        ]
        watch = asyncio.create_task(door.watch(), name="watch")
        await ended.wait()
        for server in servers:
            server.close()
        await door.drain(timedelta(seconds=settings.drain_seconds))
        await ledger.close()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _listen(door: Door, bound: socket.socket, listen: DimseListen, artim_seconds: float) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    factory = partial(door.connection, is_open=listen.is_open)
    if listen.tls is None:
        return await loop.create_server(factory, sock=bound)
    return await loop.create_server(
        factory,
        sock=bound,
        ssl=listen.tls.context(),
        ssl_handshake_timeout=artim_seconds,
        ssl_shutdown_timeout=artim_seconds,
    )


def _note_refusal(request: AssociateRequest, host: str, why: str) -> None:
    """The log tells of it; see `door.py`."""


async def _run(settings: Settings, ledger_end: socket.socket, sockets: Sequence[socket.socket]) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    flushes = [export_logs("gateway"), export_traces("gateway")]
    try:
        await accept(settings, ledger_end, sockets, ended)
    except Exception:
        _log.exception("an acceptor cannot run")
        raise
    finally:
        await asyncio.gather(*(asyncio.to_thread(flush) for flush in flushes))


def main(arguments: Sequence[str]) -> None:
    """Take associations until SIGTERM or the death of the parent."""
    parent_pid, *descriptors = map(int, arguments)
    die_with_parent(parent_pid)
    settings = load_settings()
    log_to_stderr("gateway", settings.telemetry.log_level)
    with suppress(ValueError, OSError):  # a thousand idle connections must not use up what a usual shell allows
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ledger_end, *sockets = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    uvloop.run(_run(settings, ledger_end, sockets))


if __name__ == "__main__":
    main(sys.argv[1:])
