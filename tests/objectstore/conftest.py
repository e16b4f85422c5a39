"""Object stores under test: the folder, and buckets of the S3 servers that are there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imaging.objectstore import FolderObjectStore, ObjectStore
from imaging.objectstore.s3 import S3ObjectStore
from tests.objectstore.s3_servers import OWNER, SERVERS, S3Server, program

Open = Callable[[Path], ObjectStore]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """Gives a running server by its name; skips where its program is missing."""
    running: dict[str, S3Server] = {}
    with ExitStack() as stack:

        def get(name: str) -> S3Server:
            needed, run = SERVERS[name]
            if program(needed) is None:
                pytest.skip(f"the program `{needed}` is not installed, so nothing is tried on {name}")
            if name not in running:
                running[name] = stack.enter_context(run(tmp_path_factory.mktemp(name)))
            return running[name]

        yield get


@pytest.fixture(params=["folder", *SERVERS])
def open_store(request: pytest.FixtureRequest, s3_server: Callable[[str], S3Server]) -> Iterator[Open]:
    """Opens the store of a local folder; the same folder gives the same store again."""
    if request.param == "folder":
        yield FolderObjectStore
        return
    server = s3_server(request.param)
    buckets: dict[Path, str] = {}

    def open_s3(root: Path) -> ObjectStore:
        bucket = buckets.setdefault(root, f"test-{secrets.token_hex(6)}")
        return S3ObjectStore(root, server.access(bucket), OWNER)

    yield open_s3
    client = server.client()
    for bucket in buckets.values():
        for found in list(client.list_objects(bucket, recursive=True)):
            client.remove_object(bucket, str(found.object_name))
        client.remove_bucket(bucket)
