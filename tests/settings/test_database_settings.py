"""The settings of the database: one for all or one a service, no password where others see it, no plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imaging.errors import SettingsInvalid
from imaging.settings import load_settings
from imaging.settings.database import SERVICES_WITH_DATABASE, database_access

LOCAL = {"database.url": "postgresql://imaging@127.0.0.1:5432/imaging"}


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("open sesame\n")
    file.chmod(0o600)
    return file


def refusal(values: dict[str, Any]) -> SettingsInvalid:
    with pytest.raises(SettingsInvalid) as raised:
        database_access(load_settings(env={}, overrides=values), "storage")
    return raised.value


def test_without_a_url_each_service_has_a_sqlite_file(tmp_path: Path) -> None:
    settings = load_settings(env={}, overrides={"data_dir": tmp_path})
    urls = {database_access(settings, service).url for service in SERVICES_WITH_DATABASE}
    assert f"sqlite:///{tmp_path}/storage/storage.sqlite" in urls
    assert len(urls) == len(SERVICES_WITH_DATABASE)


def test_services_share_a_database_each_in_a_schema_of_its_own(password_file: Path) -> None:
    settings = load_settings(env={}, overrides=LOCAL | {"database.password_file": password_file})
    found = [database_access(settings, service) for service in SERVICES_WITH_DATABASE]
    assert {access.url for access in found} == {LOCAL["database.url"]}
    assert [access.schema for access in found] == [f"imaging_{service}" for service in SERVICES_WITH_DATABASE]
    assert {access.password() for access in found} == {"open sesame"}
    assert "sesame" not in repr(found)


def test_a_changed_password_is_read_anew(password_file: Path) -> None:
    settings = load_settings(env={}, overrides=LOCAL | {"database.password_file": password_file})
    access = database_access(settings, "storage")
    password_file.write_text("another")
    assert access.password() == "another"


def test_a_service_may_have_a_database_of_its_own(password_file: Path) -> None:
    own = {"storage.database_url": "postgresql://s@localhost/own", "storage.database_password_file": password_file}
    settings = load_settings(env={}, overrides=LOCAL | own)
    assert database_access(settings, "storage").url == own["storage.database_url"]
    assert database_access(settings, "storage").password() == "open sesame"
    assert database_access(settings, "pipeline").url == LOCAL["database.url"]
    assert database_access(settings, "pipeline").password() == ""


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "sqlite:////x.sqlite", "localhost:5432", "postgresql://h/%zz", "postgresql://h?x=1"]
)
def test_a_url_that_is_none_of_postgresql_is_refused(url: str) -> None:
    assert refusal({"database.url": url}).where == "database.url"


@pytest.mark.parametrize("url", ["postgresql://u:sesame@localhost/x", "postgresql://localhost/x?password=sesame"])
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    refused = refusal({"database.url": url})
    assert "database.password_file" in refused.hint
    assert "sesame" not in refused.text


@pytest.mark.parametrize("trouble", ["others can read it", "missing", "empty", "no ASCII"])
def test_a_password_that_cannot_be_used_is_told_at_the_start(password_file: Path, trouble: str) -> None:
    if trouble == "missing":
        password_file.unlink()
    elif trouble == "others can read it":
        password_file.chmod(0o644)
    else:
        password_file.write_text("" if trouble == "empty" else "schlüssel")
    refused = refusal(LOCAL | {"database.password_file": password_file})
    assert refused.where == f"database.password_file = {password_file}"
    assert "schl" not in refused.text


@pytest.mark.parametrize("section", ["database.", "storage.database_"])
def test_a_password_without_its_url_is_refused_not_ignored(password_file: Path, section: str) -> None:
    assert refusal({f"{section}password_file": password_file}).where == f"{section}password_file"


@pytest.mark.parametrize("url", ["postgresql://db.example.org/x", "postgresql://localhost,db.example.org/x"])
def test_a_server_on_another_machine_must_prove_who_it_is(url: str, tmp_path: Path) -> None:
    assert refusal({"database.url": url}).where == "database.ca_file"
    assert "sslmode=prefer" in refusal({"database.url": f"{url}?sslmode=prefer"}).what
    (tmp_path / "none.pem").write_text("none")
    assert "database.ca_file" in refusal({"database.url": url, "database.ca_file": tmp_path / "none.pem"}).where
    access = database_access(load_settings(env={}, overrides={"database.url": f"{url}?sslrootcert=system"}), "storage")
    assert access.url.endswith("sslmode=verify-full")
    insecure = {"database.url": url, "security.insecure": True}
    assert database_access(load_settings(env={}, overrides=insecure), "storage").url == url


@pytest.mark.parametrize("host", ["/var/run/postgresql", "localhost", "[::1]", ""])
def test_this_machine_needs_no_encryption(host: str) -> None:
    given = host.replace("/", "%2F")
    url = f"postgresql://{given}/x"
    assert database_access(load_settings(env={}, overrides={"database.url": url}), "storage").url == url


def test_a_prefix_that_is_no_plain_name_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        load_settings(env={}, overrides={"database.schema_prefix": 'x"; DROP'})
