"""A service that cannot start says in one line what is wrong, where, and how to cure it; its exit code tells which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from imaging.cli.exit_codes import ExitCode
from tests.database.postgresql_server import PostgresServer
from tests.installation.small_disk import needs_mounts, on_small_disks
from tests.objectstore.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server, program, seaweedfs

SECONDS = 120
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def start(
    service: str, folder: Path, *, launcher: list[str] | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """`imaging serve SERVICE` with settings (`storage__s3_bucket`), which must end by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGING_")}
    given = [f"--set={name.replace('__', '.')}={value}" for name, value in settings.items()]
    command = [*(launcher or []), sys.executable, "-m", "imaging", "serve", service, "--address", "127.0.0.1:0"]
    return subprocess.run(
        [*command, "--data", str(folder), *given],
        env=kept,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def assert_told(ended: subprocess.CompletedProcess[str], code: ExitCode, what: str, where: str, hint: str) -> None:
    """One line of the log and the words for people tell the same, without a stack."""
    assert ended.returncode == code, ended.stderr
    errors = [line for line in ended.stderr.splitlines() if '"level": "ERROR"' in line]
    assert len(errors) == 1, ended.stderr
    told = json.loads(errors[0])
    assert "stack" not in told
    for part in (what, where, hint):
        assert part in told["message"]
        assert part in ended.stderr.replace(errors[0], "")
    assert not ended.stdout, "it never said that it serves"


def secret(folder: Path, name: str, text: str, mode: int = 0o600) -> str:
    file = folder / name
    file.write_text(text)
    file.chmod(mode)
    return str(file)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if program("weed") is None:
        pytest.skip("SeaweedFS is not installed, so no S3 server can be asked with a wrong key")
    with seaweedfs(tmp_path_factory.mktemp("s3")) as server:
        yield server


def in_bucket(folder: Path, endpoint: str, secret_key: str = SECRET_KEY) -> dict[str, str]:
    return {
        "storage__s3_endpoint": endpoint,
        "storage__s3_bucket": "startup",
        "storage__s3_secure": "false",
        "storage__s3_timeout_seconds": "2",
        "storage__s3_access_key_file": secret(folder, "access", ACCESS_KEY),
        "storage__s3_secret_key_file": secret(folder, "secret", secret_key),
    }


@pytest.mark.parametrize("service", ["storage", "processing", "pipeline", "gateway"])
def test_a_secret_that_is_missing(service: str, tmp_path: Path) -> None:
    ended = start(service, tmp_path / "data", security__token_file=str(tmp_path / "none"))
    assert_told(ended, ExitCode.USAGE, "cannot be read", "security.token_file", "Check the path")


def test_a_secret_that_others_can_read(tmp_path: Path) -> None:
    ended = start("processing", tmp_path / "data", security__token_file=secret(tmp_path, "token", "x" * 40, 0o644))
    assert_told(ended, ExitCode.USAGE, "Others can read", "security.token_file", "chmod")


@pytest.mark.parametrize("service", ["storage", "analysis", "reporting", "pipeline"])
def test_a_database_that_does_not_answer(service: str, tmp_path: Path) -> None:
    ended = start(service, tmp_path, database__url="postgresql://imaging@127.0.0.1:1/imaging")
    assert_told(ended, ExitCode.UNAVAILABLE, "PostgreSQL does not answer", "127.0.0.1:1", "Is it running")


def test_a_database_or_a_role_that_is_not_there(tmp_path: Path, throw_away_postgres: PostgresServer) -> None:
    ended = start("reporting", tmp_path, database__url=throw_away_postgres.url("nowhere"))
    assert_told(ended, ExitCode.USAGE, "There is no such database", "nowhere", "CREATE DATABASE")
    url = throw_away_postgres.url().replace("imaging_test@", "stranger@")
    ended = start("reporting", tmp_path, database__url=url)
    assert_told(ended, ExitCode.USAGE, "does not let us in", "127.0.0.1", "role")


def test_tables_that_are_older_and_tables_that_are_newer(tmp_path: Path, throw_away_postgres: PostgresServer) -> None:
    settings = {
        "database__url": throw_away_postgres.url(),
        "database__schema_prefix": "startup",
        "database__accept_data_loss": "true",
    }
    ended = start("pipeline", tmp_path, database__migrate_at_start="false", **settings)
    assert_told(ended, ExitCode.REFUSED, "is at revision none", "startup_pipeline", "imaging db upgrade")
    with psycopg.connect(throw_away_postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS startup_pipeline")
        connection.execute("CREATE TABLE startup_pipeline.alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO startup_pipeline.alembic_version VALUES ('9999')")
    ended = start("pipeline", tmp_path, **settings)
    assert_told(ended, ExitCode.REFUSED, "A newer release has written", "startup_pipeline", "Start the release")


def test_a_bucket_that_does_not_answer(tmp_path: Path) -> None:
    ended = start("storage", tmp_path / "data", **in_bucket(tmp_path, "127.0.0.1:1"))
    assert_told(ended, ExitCode.UNAVAILABLE, "The object store", "storage.s3_endpoint", "Is it running there")


def test_a_bucket_whose_key_is_wrong(tmp_path: Path, s3: S3Server) -> None:
    ended = start("storage", tmp_path / "data", **in_bucket(tmp_path, f"127.0.0.1:{s3.port}", "wrong" * 8))
    assert_told(ended, ExitCode.USAGE, "The secret key is wrong", "storage.s3_secret_key_file", "Check the key")


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = start("storage", tmp_path / "file" / "data")
    assert_told(ended, ExitCode.USAGE, "Not a directory", str(tmp_path / "file"), "data_dir")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a service as somebody who lacks a permission")
def test_a_data_folder_of_somebody_else(tmp_path: Path) -> None:
    readable = subprocess.run([*NOBODY, sys.executable, "-c", "import imaging"], capture_output=True, check=False)
    if readable.returncode:
        pytest.skip("the environment is where nobody but root can read it, so that no service runs as somebody else")
    folder = Path("/tmp") / f"imaging-startup-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        ended = start("pipeline", folder, launcher=NOBODY)
        assert_told(ended, ExitCode.USAGE, "Permission denied", str(folder), "the user that the service runs as")
    finally:
        folder.rmdir()


@needs_mounts
def test_a_full_volume(tmp_path: Path) -> None:
    ended = start("storage", tmp_path / "disk" / "data", launcher=on_small_disks((tmp_path / "disk", "size=64k")))
    assert_told(ended, ExitCode.NO_ROOM, "no room", "disk", "Free")


@needs_mounts
def test_a_read_only_volume(tmp_path: Path) -> None:
    ended = start("storage", tmp_path / "disk" / "data", launcher=on_small_disks((tmp_path / "disk", "ro")))
    assert_told(ended, ExitCode.USAGE, "Read-only file system", "disk", "mounted read-only")
