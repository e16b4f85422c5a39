"""What only real S3 servers can show: keys that they do not know, encryption, and being killed while objects come."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import minio
import minio.time
import pytest

from imaging.errors import FailedPrecondition, ImagingError, SettingsInvalid, Unavailable
from imaging.objectstore.s3 import S3ObjectStore
from tests.objectstore.s3_servers import OWNER, SERVERS, S3Server

Named = Callable[[str], S3Server]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, s3_server: Named) -> S3Server:
    return s3_server(request.param)


@pytest.fixture
def bucket(server: S3Server) -> Iterator[str]:
    name = f"test-{secrets.token_hex(6)}"
    yield name
    client = server.client()
    if client.bucket_exists(name):
        for found in list(client.list_objects(name, recursive=True)):
            client.remove_object(name, str(found.object_name))
        client.remove_bucket(name)


def test_of_many_writers_of_one_key_one_succeeds(server: S3Server, bucket: str, tmp_path: Path) -> None:
    store = S3ObjectStore(tmp_path, server.access(bucket), OWNER)

    def write(number: int) -> int | None:
        try:
            store.put("a", b"%d" % number)
        except FailedPrecondition:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        (winner,) = [number for number in pool.map(write, range(16)) if number is not None]
    assert store.read("a") == b"%d" % winner


@pytest.mark.parametrize(
    ("wrong", "setting"), [("access_key", "storage.s3_access_key_file"), ("secret_key", "storage.s3_secret_key_file")]
)
def test_a_wrong_key_is_named(server: S3Server, bucket: str, tmp_path: Path, wrong: str, setting: str) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        S3ObjectStore(tmp_path, server.access(bucket, **{wrong: "this-one-is-wrong"}), OWNER)
    assert raised.value.where == setting


def test_https_with_a_server_that_has_none_does_not_start(server: S3Server, bucket: str, tmp_path: Path) -> None:
    with pytest.raises((SettingsInvalid, Unavailable)):
        S3ObjectStore(tmp_path, server.access(bucket, secure=True), OWNER)


def test_encrypted_objects_are_proven_too(server: S3Server, bucket: str, tmp_path: Path) -> None:
    store = S3ObjectStore(tmp_path, server.access(bucket, sse="s3"), OWNER)
    large = secrets.token_bytes(9 * 1024 * 1024)
    store.put("small", b"content")
    store.put("large", large)
    assert store.read("small") == b"content"
    assert store.read("large") == large
    assert store.read("large", 8 * 1024 * 1024 - 2, 4) == large[8 * 1024 * 1024 - 2 :][:4]
    found = server.client().stat_object(bucket, "large")
    assert (found.metadata or {}).get("x-amz-server-side-encryption") == "AES256"


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_goes_wrong_is_named(
    server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    store = S3ObjectStore(tmp_path, server.access(bucket), OWNER)
    store.put("before", b"content")
    wrong = lambda: datetime.now(UTC) + timedelta(minutes=minutes)  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(minio.time, "utcnow", wrong)
        patched.setattr(minio.api.time, "utcnow", wrong)
        with pytest.raises(Unavailable) as raised:
            store.put("during", b"content")
        with pytest.raises(SettingsInvalid, match="clock"):
            S3ObjectStore(tmp_path, server.access(bucket), OWNER)
    assert "clock" in raised.value.what
    assert "NTP" in raised.value.hint
    assert store.stat("during") is None
    assert store.read("before") == b"content"


def test_after_a_bucket_was_removed_under_way_nothing_is_acknowledged_that_is_not_there(
    server: S3Server, bucket: str, tmp_path: Path
) -> None:
    store = S3ObjectStore(tmp_path, server.access(bucket), OWNER)
    client = server.client()
    for found in list(client.list_objects(bucket, recursive=True)):
        client.remove_object(bucket, str(found.object_name))
    client.remove_bucket(bucket)
    for key, content in {"small": b"small", "large": bytes(9 * 1024 * 1024)}.items():
        try:
            store.put(key, content)  # SeaweedFS makes a bucket for it
        except Unavailable as error:
            refusal = error
        else:
            assert store.read(key) == content
            continue
        assert "bucket does not exist" in refusal.what
        assert refusal.where == "storage.s3_bucket"


def read_when_it_answers(store: S3ObjectStore, key: str) -> bytes:
    """The object; a server that was just started answers 500 while it still loads its volumes."""
    give_up = time.monotonic() + 60
    while True:
        try:
            return store.read(key)
        except Unavailable:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def test_what_was_acknowledged_before_the_server_was_killed_is_there_after(
    server: S3Server, bucket: str, tmp_path: Path
) -> None:
    store = S3ObjectStore(tmp_path, server.access(bucket), OWNER)
    contents = {f"a/{number}": secrets.token_bytes(50_000 + number) for number in range(40)}
    contents |= {"large": secrets.token_bytes(20 * 1024 * 1024)}
    kept: dict[str, bytes] = {}
    some_kept = threading.Event()

    def write(key: str) -> ImagingError | None:
        try:
            store.put(key, contents[key])
        except ImagingError as error:
            return error
        kept[key] = contents[key]
        if len(kept) == 15:
            some_kept.set()
        return None

    with ThreadPoolExecutor(16) as pool:
        pending = [pool.submit(write, key) for key in contents]
        assert some_kept.wait(60)
        server.kill()
        errors = [error for done in pending if (error := done.result()) is not None]
    assert errors
    assert all(isinstance(error, Unavailable) for error in errors)
    assert server.start()
    assert [key for key, content in kept.items() if read_when_it_answers(store, key) != content] == []
    unknown = {key: store.stat(key) for key in contents.keys() - kept.keys()}
    assert [key for key, found in unknown.items() if found and store.read(key) != contents[key]] == []  # never a part
    again = next(key for key, found in unknown.items() if found is None)
    store.put(again, contents[again])
    assert store.read(again) == contents[again]
