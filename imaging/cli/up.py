"""`imaging up`: all services on this machine."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from imaging.cli.exit_codes import ExitCode
from imaging.cli.options import ConfigOption, DataOption, InsecureFlag, JsonFlag, SetOption, settings_from
from imaging.cli.output import Output
from imaging.cli.page_url import page_url
from imaging.supervisor.event import Event, EventKind

if TYPE_CHECKING:
    from imaging.settings import Settings
    from imaging.supervisor.supervisor import Supervisor

_STYLES = {
    EventKind.READY: "green",
    EventKind.LOGGED_ERROR: "yellow",
    EventKind.DIED: "yellow",
    EventKind.CRASH_LOOP: "bold red",
}


def up(
    data: DataOption = None,
    port_base: Annotated[
        int | None,
        typer.Option(
            "--port-base",
            metavar="N",
            help="First of the ports: storage N, processing N+1, analysis N+2, reporting N+3, pipeline N+4, "
            "gateway N+5, its HTTP N+6, DIMSE N+7, the one port N+8; 0: free ports. Default: as the settings say, "
            "50051 on.",
        ),
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    insecure: InsecureFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Start all services, one process each, and keep them running until Ctrl-C.

    With --json exactly one line goes to standard output when all are ready: {"endpoints": {"storage": "host:port", …}}.
    The first Ctrl-C drains the services, the pipeline first; the second ends them at once.
    """
    settings = settings_from(config, data, assignments, insecure=insecure)
    output = Output(as_json=as_json)
    raise typer.Exit(asyncio.run(_run(settings, port_base, output)))


async def _run(settings: Settings, port_base: int | None, output: Output) -> int:
    from imaging.supervisor.supervisor import Supervisor

    def on_event(event: Event) -> None:
        if output.as_json:
            output.progress({"event": event.kind.value, "service": event.service, "text": event.text})
        else:
            output.say(
                f"{event.service:<11} {event.kind.value:<12} {event.text}".rstrip(), _STYLES.get(event.kind, "dim")
            )

    supervisor = Supervisor(settings, port_base=port_base, on_event=on_event)
    asked_to_end, asked_again = asyncio.Event(), asyncio.Event()
    received: list[int] = []

    def on_signal(number: int) -> None:
        received.append(number)
        (asked_again if asked_to_end.is_set() else asked_to_end).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal, number)

    await supervisor.start()
    working = asyncio.create_task(_ready_then_watch(supervisor, output))
    ending = asyncio.create_task(asked_to_end.wait())
    killing = asyncio.create_task(asked_again.wait())
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        working.cancel()  # what is not ready yet will not be announced any more
        if not output.as_json:
            output.say("draining; Ctrl-C again ends everything at once", "dim")
        draining = asyncio.create_task(supervisor.drain())
        await asyncio.wait({draining, killing}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            return ExitCode.INTERRUPTED
        draining.result()
    finally:
        for task in (working, ending, killing):
            task.cancel()
        await asyncio.gather(working, ending, killing, return_exceptions=True)
        await supervisor.kill()
    return ExitCode.INTERRUPTED if received[0] == signal.SIGINT else ExitCode.OK


async def _ready_then_watch(supervisor: Supervisor, output: Output) -> None:
    from imaging.supervisor.addresses import FRONT

    await supervisor.wait_ready()
    if output.as_json:
        output.result({"endpoints": supervisor.addresses})
    else:
        rows = [(name, address) for name, address in supervisor.addresses.items()]
        output.table("imaging is up", ("service", "address"), rows)
        output.say(f"web page: {page_url(supervisor.settings, supervisor.addresses)}", "bold")
        if FRONT not in supervisor.addresses and supervisor.wants_front:
            output.say("one port for all needs Traefik: pip install 'imaging-pipeline[front]'", "dim")
        output.say(f"data and logs: {supervisor.settings.data_dir}; Ctrl-C ends", "dim")
    await supervisor.wait_failed()
