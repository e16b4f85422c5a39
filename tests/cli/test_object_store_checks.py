"""`imaging doctor` on the S3 bucket: what it says of one that is right, missing, or not reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging.cli.object_store_checks import object_store_checks
from imaging.settings import Settings, load_settings
from tests.objectstore.scripted_s3 import BUCKET, scripted_s3


def settings(folder: Path, endpoint: str) -> Settings:
    for name in ("access", "secret"):
        (folder / name).write_text("key")
        (folder / name).chmod(0o600)
    own = {"endpoint": endpoint, "bucket": BUCKET, "secure": False, "timeout_seconds": 0.5}
    own |= {"access_key_file": folder / "access", "secret_key_file": folder / "secret"}
    return load_settings(env={}, overrides={f"storage.s3_{name}": value for name, value in own.items()})


def test_a_folder_needs_no_check() -> None:
    assert list(object_store_checks(load_settings(env={}))) == []


def test_a_bucket_is_found_missing_refused_or_not_reached_and_never_changed(tmp_path: Path) -> None:
    with scripted_s3() as server:
        given = settings(tmp_path, f"127.0.0.1:{server.server_port}")
        (found,) = object_store_checks(given)
        server.always["GET"] = "SignatureDoesNotMatch:403"
        (refused,) = object_store_checks(given)
        server.always.clear()
        server.buckets.clear()
        (missing,) = object_store_checks(given)
        assert set(server.requests) == {"GET"}
    (away,) = object_store_checks(given)
    assert [check.state for check in (found, refused, missing, away)] == ["ok", "failed", "warning", "failed"]
    assert "storage.s3_secret_key_file" in refused.found
    assert all(check.hint for check in (refused, missing, away))


@pytest.mark.parametrize("trouble", ["others can read it", "missing"])
def test_keys_that_cannot_be_used_are_told(tmp_path: Path, trouble: str) -> None:
    given = settings(tmp_path, "127.0.0.1:1")
    if trouble == "missing":
        (tmp_path / "secret").unlink()
    else:
        (tmp_path / "secret").chmod(0o644)
    (check,) = object_store_checks(given)
    assert check.state == "failed"
    assert "s3_secret_key_file" in check.found
