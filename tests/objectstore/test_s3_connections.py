"""The pool of connections to an S3 server: no failure keeps one for itself, and more writers than it has succeed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from imaging.errors import ImagingError, Unavailable
from imaging.objectstore import s3, s3_connections, s3_write
from imaging.objectstore.s3 import S3ObjectStore
from imaging.objectstore.s3_proof import PART_BYTES
from tests.objectstore.s3_servers import OWNER
from tests.objectstore.scripted_s3 import ScriptedS3, scripted_s3

TROUBLES = ["drop", "lose", "wait", "text", "damage", "cut", "hidden", "InternalError:500", "AccessDenied:403"]
LARGE = bytes(PART_BYTES + 1)


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def store(server: ScriptedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3ObjectStore:
    monkeypatch.setattr(s3_write, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(s3, "CONNECTIONS", 2)
    monkeypatch.setattr(s3_connections, "_HARMLESS", s3_connections._HARMLESS.new(backoff_factor=0))
    return S3ObjectStore(tmp_path / "s3", server.access(timeout_seconds=0.1), OWNER)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_failure_keeps_a_connection_for_itself(server: ScriptedS3, store: S3ObjectStore, trouble: str) -> None:
    server.tells_checksums = False  # so that writing reads back, too
    store.put("there", b"content")
    calls = {
        "PUT": (lambda: store.put(secrets.token_hex(8), b"1"), lambda: store.put(secrets.token_hex(8), LARGE)),
        "POST": (lambda: store.put(secrets.token_hex(8), LARGE),),
        "GET": (lambda: store.read("there"), lambda: list(store.list()), lambda: next(store.list(), None)),
        "HEAD": (lambda: store.stat("there"),),
        "DELETE": (lambda: store.delete("there"),),
    }
    for method, those in calls.items():
        server.always = {method: trouble}
        for call in those * 3:  # more often than the pool has connections
            with suppress(ImagingError):
                call()
    server.always = {}
    began = time.monotonic()
    store.put("after", b"content")
    assert store.read("after") == b"content"
    assert time.monotonic() - began < 5


def test_more_writers_than_connections_all_get_through(server: ScriptedS3, store: S3ObjectStore) -> None:
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda number: store.put(f"a/{number}", b"%d" % number), range(200)))
    assert server.objects == {f"a/{number}": b"%d" % number for number in range(200)}


def test_writers_that_wait_for_a_connection_to_a_silent_server_end_in_bounded_time(
    server: ScriptedS3, store: S3ObjectStore
) -> None:
    server.always["PUT"] = "wait"
    began = time.monotonic()

    def put(number: int) -> type[Exception] | None:
        try:
            store.put(f"a/{number}", b"1")
        except Unavailable as error:
            return type(error)
        return None

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(put, range(16))) == {Unavailable}
    assert time.monotonic() - began < 30
    server.always = {}
    store.put("after", b"content")
