"""The settings of the S3 server: whole or refused, keys secret, and nothing in plain text over a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imaging.errors import SettingsInvalid
from imaging.settings import load_settings
from imaging.settings.s3 import s3_access


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Settings that are right."""
    for name in ("access", "secret"):
        (tmp_path / name).write_text(f"{name}-key\n")
        (tmp_path / name).chmod(0o600)
    return {
        "storage.s3_endpoint": "minio.example.org:9000",
        "storage.s3_bucket": "images",
        "storage.s3_access_key_file": tmp_path / "access",
        "storage.s3_secret_key_file": tmp_path / "secret",
    }


def refusal(values: dict[str, Any]) -> SettingsInvalid:
    with pytest.raises(SettingsInvalid) as raised:
        s3_access(load_settings(env={}, overrides=values))
    return raised.value


def test_without_an_endpoint_objects_are_in_a_folder() -> None:
    assert s3_access(load_settings(env={})) is None


def test_keys_come_from_their_files_and_the_connection_is_secure(given: dict[str, Any]) -> None:
    access = s3_access(load_settings(env={}, overrides=given))
    assert access is not None
    assert (access.access_key, access.secret_key, access.secure) == ("access-key", "secret-key", True)
    assert "-key'" not in repr(access)


@pytest.mark.parametrize("name", ["s3_bucket", "s3_access_key_file", "s3_secret_key_file"])
def test_a_missing_setting_is_named(given: dict[str, Any], name: str) -> None:
    del given[f"storage.{name}"]
    assert refusal(given).where == f"storage.{name}"


def test_settings_without_their_endpoint_are_refused_not_ignored(given: dict[str, Any]) -> None:
    del given["storage.s3_endpoint"]
    assert refusal(given).where == "storage.s3_bucket"


def test_a_key_that_others_can_read_is_refused(given: dict[str, Any]) -> None:
    given["storage.s3_secret_key_file"].chmod(0o644)
    assert "chmod 600" in refusal(given).hint


@pytest.mark.parametrize("content", ["", "\n", "two words", "schlüssel"])
def test_a_file_without_a_key_is_refused_and_not_shown(given: dict[str, Any], content: str) -> None:
    given["storage.s3_access_key_file"].write_text(content)
    text = refusal(given).text
    assert "holds no key" in text
    assert not content.strip() or content not in text


def test_plain_text_over_a_network_is_refused(given: dict[str, Any]) -> None:
    given["storage.s3_secure"] = False
    assert refusal(given).where == "storage.s3_secure"
    for allowed in ({"security.insecure": True}, {"storage.s3_endpoint": "127.0.0.1:9000"}):
        assert s3_access(load_settings(env={}, overrides=given | allowed)) is not None


def test_certificates_that_are_none_are_refused(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    assert "storage.s3_ca_file" in refusal(given | {"storage.s3_ca_file": tmp_path / "ca.pem"}).where


def test_an_endpoint_with_a_scheme_is_refused_by_the_client(given: dict[str, Any]) -> None:
    given["storage.s3_endpoint"] = "https://minio.example.org:9000"
    access = s3_access(load_settings(env={}, overrides=given))
    assert access is not None
    with pytest.raises(SettingsInvalid, match="host with an optional port"):
        access.client(1)
