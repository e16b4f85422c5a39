"""Webhooks that would leak, be guessed or never be reached are refused when the service starts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from imaging.errors import SettingsInvalid
from imaging.settings import load_settings
from pipeline_svc.alerts.signature import signing_key
from pipeline_svc.alerts.webhooks import check_webhooks
from tests.pipeline.alert_receiver import SECRET


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        ({"url": "http://ward.example.org/alerts"}, "https alone"),
        ({"url": "ward.example.org"}, "url"),
        ({"url": "https:///alerts"}, "no host"),
        ({"url": "https://xn--.example.org/"}, "no host"),
        ({"url": "https://ward..example.org/"}, "no host"),
        ({"url": "https://ward.example.org:99999/"}, "Port"),
        ({"url": "https://ward.example.org", "include": ["patient_birth_date"]}, "include"),
    ],
)
def test_a_webhook_that_would_leak_or_never_be_reached_is_refused(
    webhook: dict[str, Any], words: str, tmp_path: Path
) -> None:
    overrides = {"pipeline.webhooks": {"ward": {"secret_file": tmp_path / "secret", **webhook}}}
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(env={}, overrides=overrides)
    assert words in refused.value.text


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    overrides = {"pipeline.webhooks": {"ward": {"url": "https://ward.example.org", "secret_file": secret}}}
    with pytest.raises(SettingsInvalid, match="others"):
        check_webhooks(load_settings(env={}, overrides=overrides).pipeline.webhooks)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "no base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "no base64"),
        ("whsec_", "16 bytes"),
        ("", "16 bytes"),
        ("hunter2", "16 bytes"),
    ],
)
def test_a_secret_that_receivers_read_otherwise_or_somebody_can_guess_is_refused(
    text: str, words: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(text)
    secret.chmod(0o600)
    overrides = {"pipeline.webhooks": {"ward": {"url": "https://ward.example.org", "secret_file": secret}}}
    with pytest.raises(SettingsInvalid, match=words) as refused:
        check_webhooks(load_settings(env={}, overrides=overrides).pipeline.webhooks)
    assert "pipeline.webhooks.ward.secret_file" in refused.value.where
    assert text in ("", "whsec_") or text not in refused.value.text


def test_a_secret_is_base64_after_its_prefix_or_the_text_itself() -> None:
    assert signing_key(SECRET, "") == base64.b64decode(SECRET.removeprefix("whsec_"))
    assert signing_key("a text of some length", "") == b"a text of some length"
