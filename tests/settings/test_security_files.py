"""Secrets and certificates that cannot protect anything are refused before anything listens."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which

import pytest

from imaging.errors import SettingsInvalid
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings
from imaging.settings import Settings, load_settings

TOKEN = "0123456789abcdef"


def _settings(**security: Path | bool) -> Settings:
    overrides = {f"security.{key}": value for key, value in security.items()}
    return load_settings(env={}, overrides=overrides)


def _secret(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o600)
    return file


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    if which("openssl") is None:
        pytest.skip("the program openssl makes the certificate")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


@pytest.mark.parametrize("text", ["", "\n", "short", "two lines of it\nsecond line", "grüße an alle hier im Haus"])
def test_a_file_without_a_proper_token_does_not_switch_the_check_off(tmp_path: Path, text: str) -> None:
    settings = _settings(token_file=_secret(tmp_path / "token", text))
    with pytest.raises(SettingsInvalid, match="openssl rand"):
        settings.listen("storage")
    with pytest.raises(SettingsInvalid, match=r"security\.token_file"):
        settings.channel()


def test_a_certificate_without_its_key_is_not_silently_no_tls(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"without its key.*security\.key_file"):
        _settings(certificate_file=tmp_path / "cert.pem").listen("storage")
    with pytest.raises(SettingsInvalid, match="without its certificate"):
        _settings(key_file=tmp_path / "key.pem").listen("storage")


def test_a_certificate_and_its_key_are_taken(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    settings = _settings(certificate_file=certificate, key_file=key, ca_file=certificate)
    assert settings.listen("storage").key_file == key
    assert settings.channel().ca_file == certificate


def test_a_key_that_others_can_read_is_refused(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    key.chmod(0o644)
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        _settings(certificate_file=certificate, key_file=key).listen("storage")


def test_files_that_are_missing_or_no_pem_are_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = pair
    with pytest.raises(SettingsInvalid, match=r"No such file.*none\.pem"):
        _settings(certificate_file=certificate, key_file=tmp_path / "none.pem").listen("storage")
    with pytest.raises(SettingsInvalid, match="cannot be used together"):
        _settings(certificate_file=certificate, key_file=_secret(tmp_path / "junk", "junk")).listen("storage")
    with pytest.raises(SettingsInvalid, match=r"no certificates to trust.*key\.pem"):
        _settings(ca_file=key).channel()


def test_servers_with_tls_need_clients_that_trust_them(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    with pytest.raises(SettingsInvalid, match=r"security\.ca_file"):
        _settings(certificate_file=certificate, key_file=key).channel()


def test_a_token_never_travels_in_plain_text_to_another_machine(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="plain text"):
        open_channel("192.0.2.1:50051", ChannelSettings(token=TOKEN))
    proxied = _settings(token_file=_secret(tmp_path / "token", TOKEN), insecure=True).channel()
    assert proxied.token_in_plain_text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root's")
@pytest.mark.parametrize(("mode", "is_taken"), [(0o440, True), (0o640, True), (0o660, False), (0o444, False)])
def test_a_secret_of_root_may_be_given_to_the_group_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_taken: bool
) -> None:
    token = _secret(tmp_path / "token", TOKEN)
    token.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    if is_taken:
        assert _settings(token_file=token).channel().token == TOKEN
    else:
        with pytest.raises(SettingsInvalid, match="chmod 600"):
            _settings(token_file=token).channel()
