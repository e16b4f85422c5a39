"""Large objects, which go in parts: whatever goes wrong on the way, they are there whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.errors import FailedPrecondition, ImagingError, StorageFull, Unavailable
from imaging.objectstore import s3_connections, s3_write
from imaging.objectstore.s3 import S3ObjectStore
from imaging.objectstore.s3_proof import PART_BYTES
from tests.objectstore.s3_servers import OWNER
from tests.objectstore.scripted_s3 import ScriptedS3, scripted_s3

CONTENT = secrets.token_bytes(2 * PART_BYTES + 1000)
STEPS = {"begin": ("POST", 0), "first part": ("PUT", 0), "last part": ("PUT", 2), "put together": ("POST", 1)}
TROUBLES = ["drop", "lose", "wait", "text", "InternalError:500", "SlowDown:503", "BadDigest:400"]


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def store(server: ScriptedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3ObjectStore:
    monkeypatch.setattr(s3_write, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(s3_connections, "_HARMLESS", s3_connections._HARMLESS.new(backoff_factor=0))
    return S3ObjectStore(tmp_path / "s3", server.access(), OWNER)


def adopt(store: S3ObjectStore) -> ImagingError | None:
    """Adopt a file of three parts; the error if it is refused, and then the file is still there."""
    file = store.spool / "large"
    file.write_bytes(CONTENT)
    try:
        store.adopt("a/large", file)
    except ImagingError as error:
        assert file.read_bytes() == CONTENT
        return error
    assert not file.exists()
    return None


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("step", STEPS)
def test_one_failure_at_any_step_is_made_good(
    server: ScriptedS3, store: S3ObjectStore, step: str, trouble: str
) -> None:
    method, before = STEPS[step]
    server.script[method].extend(["fine"] * before + [trouble])
    assert adopt(store) is None
    assert server.objects == {"a/large": CONTENT}


@pytest.mark.parametrize("trouble", [*TROUBLES, "hidden"])
def test_parts_that_are_never_put_together_are_no_object(
    server: ScriptedS3, store: S3ObjectStore, trouble: str
) -> None:
    server.script["POST"].append("fine")
    server.always["POST"] = trouble
    error = adopt(store)
    # Only an answer that was lost may stand for an object that is there.
    assert isinstance(error, Unavailable) or (trouble == "lose" and error is None)
    assert server.objects in ({}, {"a/large": CONTENT})
    assert error is None or server.objects == {} or trouble == "lose"


def test_an_error_that_hides_in_a_good_answer_is_seen_and_tried_again(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.script["POST"].extend(["fine", "hidden"])
    assert adopt(store) is None
    assert server.objects == {"a/large": CONTENT}


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_that_changed_on_the_way_is_seen_and_taken_back(
    server: ScriptedS3, store: S3ObjectStore, part: int
) -> None:
    server.script["PUT"].extend(["fine"] * part + ["damage"])
    error = adopt(store)
    assert isinstance(error, Unavailable)
    assert "other bytes" in error.what
    assert server.objects == {}


def test_a_full_server_is_told_at_once_and_keeps_no_parts(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.script["PUT"].extend(["fine", "XMinioStorageFull:507"])
    assert isinstance(adopt(store), StorageFull)
    assert server.objects == {}
    assert server.parts == {}


def test_a_failed_upload_leaves_no_parts_behind(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.always["PUT"] = "InternalError:500"
    assert isinstance(adopt(store), Unavailable)
    assert server.parts == {}


def test_a_key_that_is_taken_is_not_written_over(server: ScriptedS3, store: S3ObjectStore) -> None:
    assert adopt(store) is None
    with pytest.raises(FailedPrecondition):
        store.put("a/large", CONTENT[::-1])
    assert server.objects == {"a/large": CONTENT}
