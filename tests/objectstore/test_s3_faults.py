"""An S3 server that fails: never a false success, never a second object, always an error that says what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging.errors import DataLoss, FailedPrecondition, ImagingError, SettingsInvalid, StorageFull, Unavailable
from imaging.objectstore.s3 import S3ObjectStore
from imaging.objectstore.s3_bucket import BucketOwner
from tests.objectstore.s3_servers import OWNER
from tests.objectstore.scripted_s3 import BUCKET, ScriptedS3, scripted_s3


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def store(server: ScriptedS3, tmp_path: Path) -> S3ObjectStore:
    opened = S3ObjectStore(tmp_path / "s3", server.access(), OWNER)
    server.requests.clear()
    return opened


def test_after_a_lost_answer_the_server_is_asked_and_nothing_is_sent_again(
    server: ScriptedS3, store: S3ObjectStore
) -> None:
    server.script["PUT"].append("lose")
    store.put("a", b"content")
    assert server.requests == ["PUT", "HEAD"]
    assert server.objects == {"a": b"content"}


def test_after_a_lost_answer_and_a_failed_question_the_refusal_of_the_second_sending_is_understood(
    server: ScriptedS3, store: S3ObjectStore
) -> None:
    server.script["PUT"].append("lose")
    server.script["HEAD"].extend(["InternalError:500"] * 4)
    store.put("a", b"content")
    assert server.count("PUT") == 2
    assert server.objects == {"a": b"content"}


def test_what_did_not_arrive_is_sent_again(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.script["PUT"].append("drop")
    store.put("a", b"content")
    assert server.requests == ["PUT", "HEAD", "PUT"]


def test_a_key_that_another_took_between_two_attempts_is_not_ours(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.script["PUT"].append("drop")
    server.script["HEAD"].append("NoSuchKey:404")
    server.buckets[BUCKET]["a"] = b"of another"
    with pytest.raises(FailedPrecondition):
        store.put("a", b"content")
    assert server.objects == {"a": b"of another"}


@pytest.mark.parametrize("trouble", ["drop", "InternalError:500", "SlowDown:503", "BadDigest:400", "text"])
def test_a_server_that_always_fails_is_unavailable(server: ScriptedS3, store: S3ObjectStore, trouble: str) -> None:
    server.always["PUT"] = trouble
    with pytest.raises(Unavailable) as raised:
        store.put("a", b"content")
    assert "hell" not in raised.value.text
    assert server.count("PUT") == 3
    assert store.stat("a") is None


def test_a_silent_server_is_too_slow_within_bounded_time(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.always["PUT"] = "wait"
    began = time.monotonic()
    with pytest.raises(Unavailable, match="too slow"):
        store.put("a", b"content")
    assert time.monotonic() - began < 10


def test_other_bytes_than_were_sent_are_taken_back(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.script["PUT"].append("damage")
    with pytest.raises(Unavailable, match="other bytes"):
        store.put("a", b"content")
    assert server.objects == {}


def test_a_server_without_checksums_is_read_back(server: ScriptedS3, store: S3ObjectStore) -> None:
    server.tells_checksums = False
    store.put("a", b"content")
    assert server.requests == ["PUT", "GET"]
    server.script["PUT"].append("damage")
    with pytest.raises(Unavailable, match="other bytes"):
        store.put("b", b"content")
    assert server.objects == {"a": b"content"}


@pytest.mark.parametrize(
    "trouble", ["XMinioStorageFull:507", "QuotaExceeded:403", "XMinioAdminBucketQuotaExceeded:400"]
)
def test_a_full_server_is_told_at_once(server: ScriptedS3, store: S3ObjectStore, trouble: str) -> None:
    server.script["PUT"].append(trouble)
    with pytest.raises(StorageFull):
        store.put("a", b"content")
    assert server.requests == ["PUT"]


def test_a_spooled_file_stays_when_it_was_not_kept(server: ScriptedS3, store: S3ObjectStore) -> None:
    part = store.spool / "part"
    part.write_bytes(b"spooled")
    server.always["PUT"] = "drop"
    with pytest.raises(Unavailable):
        store.adopt("a", part)
    assert part.read_bytes() == b"spooled"
    server.always.clear()
    store.adopt("a", part)
    assert server.objects == {"a": b"spooled"}
    assert not part.exists()


def test_a_body_that_is_cut_is_read_again(server: ScriptedS3, store: S3ObjectStore) -> None:
    store.put("a", b"content")
    server.script["GET"].extend(["cut", "cut"])
    assert store.read("a") == b"content"
    server.always["GET"] = "cut"
    with pytest.raises(Unavailable):
        store.read("a")


def test_more_bytes_than_were_asked_for_are_not_taken_for_the_range(server: ScriptedS3, store: S3ObjectStore) -> None:
    store.put("a", b"content")
    assert store.read("a", 1, 3) == b"ont"
    server.script["GET"].append("whole")
    with pytest.raises(Unavailable, match="more of an object") as raised:
        store.read("a", 1, 3)
    assert "Range" in raised.value.hint


def test_what_is_gone_is_data_loss_and_what_cannot_be_asked_is_not(server: ScriptedS3, store: S3ObjectStore) -> None:
    with pytest.raises(DataLoss):
        store.read("a")
    server.always = dict.fromkeys(("GET", "HEAD", "DELETE"), "InternalError:500")
    for call in (store.read, store.stat, store.delete):
        with pytest.raises(Unavailable):
            call("a")
    with pytest.raises(Unavailable):
        list(store.list())


def test_a_bucket_that_is_gone_or_is_another_one_has_lost_no_object(server: ScriptedS3, store: S3ObjectStore) -> None:
    store.put("a", b"content")
    ours = server.buckets[BUCKET]
    for others in ({}, {BUCKET: {}}, {BUCKET: {"b": b""}}):
        server.buckets = others  # type: ignore[assignment]  # of another type of values
        for call in (store.read, store.stat):
            with pytest.raises(Unavailable) as raised:
                call("a")
            assert raised.value.where == "storage.s3_bucket"
    server.buckets = {BUCKET: ours}
    assert store.read("a") == b"content"
    assert store.stat("b") is None


def test_a_server_that_ignores_conditions_cannot_make_a_key_be_written_twice(
    server: ScriptedS3, tmp_path: Path
) -> None:
    server.knows_conditions = False
    store = S3ObjectStore(tmp_path / "s3", server.access(), OWNER)
    store.put("a", b"first")
    with pytest.raises(FailedPrecondition):
        store.put("a", b"second")
    assert server.objects == {"a": b"first"}


SETTINGS = {
    "InvalidAccessKeyId:403": "storage.s3_access_key_file",
    "SignatureDoesNotMatch:403": "storage.s3_secret_key_file",
    "AccessDenied:403": "storage.s3_access_key_file",
    "RequestTimeTooSkewed:403": "storage.s3_endpoint",
    "AuthorizationHeaderMalformed:400": "storage.s3_region",
}


@pytest.mark.parametrize("trouble", SETTINGS)
def test_wrong_settings_are_named_at_the_start(server: ScriptedS3, tmp_path: Path, trouble: str) -> None:
    server.always["GET"] = trouble
    with pytest.raises(SettingsInvalid) as raised:
        S3ObjectStore(tmp_path / "s3", server.access(), OWNER)
    assert raised.value.where == SETTINGS[trouble]
    assert raised.value.hint


@pytest.mark.parametrize("trouble", [*SETTINGS, "NoSuchBucket:404"])
def test_wrong_settings_are_nothing_that_a_sender_did_wrong(
    server: ScriptedS3, store: S3ObjectStore, trouble: str
) -> None:
    server.script["PUT"].append(trouble)
    with pytest.raises(Unavailable) as raised:
        store.put("a", b"content")
    assert raised.value.metadata == {"s3_code": trouble.split(":")[0]}
    assert server.requests == ["PUT"]


def test_a_missing_bucket_is_made_or_the_refusal_is_told(server: ScriptedS3, tmp_path: Path) -> None:
    server.buckets.clear()
    server.script["PUT"].append("AccessDenied:403")
    with pytest.raises(SettingsInvalid):
        S3ObjectStore(tmp_path / "s3", server.access(), OWNER)
    S3ObjectStore(tmp_path / "s3", server.access(), OWNER).put("a", b"1")
    assert server.objects == {"a": b"1"}


def test_rights_that_do_not_allow_to_write_are_told_at_the_start(server: ScriptedS3, tmp_path: Path) -> None:
    S3ObjectStore(tmp_path / "s3", server.access(), OWNER)
    server.always["PUT"] = "AccessDenied:403"
    with pytest.raises(SettingsInvalid, match="PutObject"):
        S3ObjectStore(tmp_path / "s3", server.access(), OWNER)


def test_a_bucket_of_another_database_is_refused(server: ScriptedS3, tmp_path: Path) -> None:
    S3ObjectStore(tmp_path / "s3", server.access(), OWNER).put("a", b"1")
    with pytest.raises(FailedPrecondition, match="another database"):
        S3ObjectStore(tmp_path / "s3", server.access(), BucketOwner("another", has_objects=False))
    assert S3ObjectStore(tmp_path / "elsewhere", server.access(), OWNER).read("a") == b"1"


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_bucket_is_refused_by_a_database_that_knows_objects(
    server: ScriptedS3, tmp_path: Path, there: bool
) -> None:
    if not there:
        server.buckets.clear()
    with pytest.raises(FailedPrecondition, match="is empty, but the database knows objects") as raised:
        S3ObjectStore(tmp_path / "s3", server.access(), BucketOwner(OWNER.identity, has_objects=True))
    assert raised.value.where == "storage.s3_bucket"
    assert server.buckets == ({BUCKET: {}} if there else {})


def test_a_bucket_with_other_objects_is_refused(server: ScriptedS3, tmp_path: Path) -> None:
    server.buckets[BUCKET]["holiday.jpg"] = b"1"
    with pytest.raises(FailedPrecondition, match="other objects"):
        S3ObjectStore(tmp_path / "s3", server.access(), OWNER)
    assert server.buckets[BUCKET] == {"holiday.jpg": b"1"}


def test_a_server_that_is_not_there_is_unavailable_at_the_start(tmp_path: Path) -> None:
    with scripted_s3() as ended:
        access = ended.access()
    with pytest.raises(Unavailable):
        S3ObjectStore(tmp_path / "s3", access, OWNER)


@pytest.mark.parametrize("sse", ["aes", "kms:", "S3"])
def test_an_unknown_encryption_is_refused(server: ScriptedS3, tmp_path: Path, sse: str) -> None:
    with pytest.raises(SettingsInvalid, match="s3_sse"):
        S3ObjectStore(tmp_path / "s3", server.access(sse=sse), OWNER)


def test_keys_are_never_shown(server: ScriptedS3, tmp_path: Path) -> None:
    access = server.access(access_key="access-to-hide", secret_key="secret-to-hide")
    server.always["GET"] = "SignatureDoesNotMatch:403"
    with pytest.raises(ImagingError) as raised:
        S3ObjectStore(tmp_path / "s3", access, OWNER)
    assert "to-hide" not in f"{access!r} {raised.value} {raised.value.metadata}"


def test_our_own_marker_is_not_listed(server: ScriptedS3, store: S3ObjectStore) -> None:
    store.put("a/b", b"12")
    assert [(found.key, found.size_bytes) for found in store.list()] == [("a/b", 2)]
    assert any(key.startswith(".") for key in server.buckets[BUCKET])
