"""Settings come from file, environment and flags; what is unknown or unsafe is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging.errors import SettingsInvalid
from imaging.settings import Settings, load_settings


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "imaging.toml"
    file.write_text(text)
    return file


def test_the_defaults_are_loopback() -> None:
    settings = load_settings(env={})
    assert settings.storage.address == "127.0.0.1:50051"
    assert settings.listen("storage").address == "127.0.0.1:50051"


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = _file(tmp_path, '[storage]\naddress = "127.0.0.1:1"\nquiet_time_seconds = 7\n')
    env = {"IMAGING_STORAGE_ADDRESS": "127.0.0.1:2", "IMAGING_PIPELINE_MAX_PARALLEL_RUNS": "5"}
    settings = load_settings(file, env, {"storage.address": "127.0.0.1:3"})
    assert settings.storage.address == "127.0.0.1:3"
    assert settings.storage.quiet_time_seconds == 7
    assert settings.pipeline.max_parallel_runs == 5


def test_an_unknown_key_is_refused_with_file_line_and_the_nearest_name(tmp_path: Path) -> None:
    file = _file(tmp_path, '# mine\n[storage]\naddress = "127.0.0.1:1"\nquite_time_seconds = 7\n')
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(file, {})
    assert caught.value.where == f"{file}:4"
    assert "storage.quiet_time_seconds" in caught.value.hint


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="IMAGING_STORAGE_ADRESS"):
        load_settings(env={"IMAGING_STORAGE_ADRESS": "x"})


def test_a_wrong_value_is_refused_with_its_place(tmp_path: Path) -> None:
    file = _file(tmp_path, "[storage]\nquiet_time_seconds = -1\n")
    with pytest.raises(SettingsInvalid, match=r"greater than 0.*imaging\.toml:2"):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("section", "line", "why"),
    [
        ("storage", "delete_grace_days = inf", "finite"),
        ("storage", "quiet_time_seconds = nan", "finite"),
        ("storage", "scrub_period_days = 1e7", "at most 100 years"),
        ("pipeline", "run_deadline_minutes = 1e9", "at most 100 years"),
        ("gateway", "send_again_hours = 1e300", "at most 100 years"),
        ("storage", "scrub_bytes_per_second = 9223372036854775807", "at most 9007199254740992"),
        ("storage", "bytes_in_flight = 9007199254740991", "less than or equal to 68719476736"),
        ("storage", 'address = "127.0.0.1:99999"', "up to 65535"),
        ("telemetry", 'metrics_address = "127.0.0.1:65536"', "up to 65535"),
    ],
)
def test_a_number_that_nothing_can_work_with_is_refused_at_once(
    tmp_path: Path, section: str, line: str, why: str
) -> None:
    with pytest.raises(SettingsInvalid, match=rf"{why}.*imaging\.toml:2"):
        load_settings(_file(tmp_path, f"[{section}]\n{line}\n"), {})


def test_a_duration_may_be_as_good_as_never(tmp_path: Path) -> None:
    file = _file(tmp_path, "[storage]\ndelete_grace_days = 36500\nsweep_interval_seconds = 3155760000\n")
    assert load_settings(file, {}).storage.delete_grace_days == 36500


def test_broken_toml_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="not valid TOML"):
        load_settings(_file(tmp_path, "[storage\n"), {})
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_settings(tmp_path / "none.toml", {})


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "192.0.2.7:50051", "storage.example:50051"])
def test_other_addresses_than_loopback_need_tls_and_token_or_insecure(address: str) -> None:
    settings = load_settings(env={}, overrides={"storage.address": address})
    with pytest.raises(SettingsInvalid, match="without TLS and credentials"):
        settings.listen("storage")
    allowed = load_settings(env={}, overrides={"storage.address": address, "security.insecure": True})
    assert allowed.listen("storage").address == address


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o644)
    settings = load_settings(env={}, overrides={"security.token_file": token})
    with pytest.raises(SettingsInvalid, match="chmod 600"):
        settings.channel()
    token.chmod(0o600)
    assert settings.channel().token == "0123456789abcdef"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().storage.address = "x"  # type: ignore[misc]


@pytest.mark.parametrize("address", ["localhost:x", "localhost", ":50051", "::1:50051", "host:123456"])
def test_an_address_that_is_none_is_refused_where_it_was_given(address: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"storage\.address.*--set storage\.address"):
        load_settings(env={}, overrides={"storage.address": address})


def test_replicas_are_named_with_commas_between_and_nobody_listens_on_several() -> None:
    settings = load_settings(env={"IMAGING_STORAGE_ADDRESS": "127.0.0.1:50051, 127.0.0.2:50051"})
    assert settings.storage.address == "127.0.0.1:50051,127.0.0.2:50051"
    with pytest.raises(SettingsInvalid, match="addresses of several replicas") as caught:
        settings.listen("storage")
    assert caught.value.where == "storage.address"


@pytest.mark.parametrize(
    "several", ["a.example:1,b.example:1", "127.0.0.1:1,[::1]:1", "127.0.0.1:1,", "127.0.0.1,127.0.0.2:1"]
)
def test_several_addresses_that_cannot_be_gone_round_are_refused(several: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"storage\.address"):
        load_settings(env={"IMAGING_STORAGE_ADDRESS": several})
