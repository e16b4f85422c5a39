"""Backup while the services run, wipe, restore: every byte, run and report is there again."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import imaging
from imaging.cli.exit_codes import ExitCode
from imaging.client.sync_client import Client
from imaging.errors import DataLoss, FailedPrecondition, NotFound
from imaging.supervisor.backup import back_up, restore
from tests.ct_series import CtSeries, ct_series
from tests.installation.running import Installation, running_installation
from tests.kill.scenario import recipes_folder


def _store(installation: Installation, sent: CtSeries, folder: Path) -> str:
    folder.mkdir()
    for number, content in enumerate(sent.instances.values()):
        (folder / f"{number}.dcm").write_bytes(content)
    with imaging.connect(installation.endpoints) as client:
        assert not client.store(folder, complete=True).rejected
        *_, run = client.runs.watch(sent.study)
    assert run.state == "SUCCEEDED"
    return str(run.name)


def _documents(client: Client) -> dict[str, bytes]:
    """Every document of every report, by report and format."""
    return {
        f"{report.name} {document.format}": client.reports.read(report, document)
        for report in client.reports.list()
        for document in report.documents
    }


def _imaging(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imaging", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_what_was_wiped_is_whole_again_from_its_backup(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "backup"
    env = {"IMAGING_PIPELINE_RECIPES_DIR": str(recipes_folder(tmp_path))}
    first, second = ct_series("backup-1", slices=5), ct_series("backup-2", slices=4)
    with running_installation(data, env) as installation:
        runs = [_store(installation, first, tmp_path / "first")]
        earlier = back_up(data, copy)
        runs.append(_store(installation, second, tmp_path / "second"))
        done = _imaging("backup", copy, "--data", data, "--json")
        assert done.returncode == ExitCode.OK, done.stderr
        later = back_up(data, tmp_path / "anew")
        with imaging.connect(installation.endpoints) as client:
            reports = _documents(client)
    assert 0 < earlier.objects < later.objects
    assert len(reports) >= 2
    shutil.rmtree(data)

    assert _imaging("restore", copy, "--data", data).returncode == ExitCode.OK
    with running_installation(data, env) as installation, imaging.connect(installation.endpoints) as client:
        for sent in (first, second):
            back = dict(client.retrieve(sent.series))
            assert {name.rpartition("/")[2]: content for name, content in back.items()} == sent.instances
        assert {run.name: run.state for run in client.runs.list()} == dict.fromkeys(runs, "SUCCEEDED")
        assert _documents(client) == reports
        for study in client.studies():
            for series in client.series(study):
                assert dict(client.retrieve(series)), "digests are checked on the way"
    refused = _imaging("restore", copy, "--data", data)
    assert refused.returncode == ExitCode.REFUSED
    assert "There is data already" in refused.stderr


def test_a_damaged_backup_and_a_folder_without_data_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no data of a storage service"):
        back_up(tmp_path, tmp_path / "backup")
    with pytest.raises(NotFound, match="no backup"):
        restore(tmp_path, tmp_path / "data")
    (tmp_path / "backup" / "storage").mkdir(parents=True)
    (tmp_path / "backup" / "storage" / "storage.sqlite").write_bytes(
        b"no database, but long enough to look like one" * 99
    )
    with pytest.raises(DataLoss, match=r"damaged.*storage\.sqlite"):
        restore(tmp_path / "backup", tmp_path / "data")
    assert not (tmp_path / "data").exists()
    with pytest.raises(FailedPrecondition, match="Copying failed"):
        (tmp_path / "data" / "storage").mkdir(parents=True)
        (tmp_path / "data" / "storage" / "storage.sqlite").touch()
        (tmp_path / "file").touch()
        back_up(tmp_path / "data", tmp_path / "file" / "below")


def _index(folder: Path, *keys: str, revisions: int, begun: int = 0) -> None:
    """A folder with what storage's index knows of kept objects and changes, and a pipeline that follows it."""
    (folder / "storage" / "objects").mkdir(parents=True, exist_ok=True)
    (folder / "pipeline").mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / "storage" / "storage.sqlite")) as database, database:
        database.executescript(
            "DROP TABLE IF EXISTS kept_object; DROP TABLE IF EXISTS change; DROP TABLE IF EXISTS change_head;"
            "CREATE TABLE kept_object (object_key TEXT PRIMARY KEY);"
            "CREATE TABLE change (revision INTEGER PRIMARY KEY, name TEXT, create_time INTEGER);"
            "CREATE TABLE change_head (revision INTEGER)"
        )
        database.executemany("INSERT INTO kept_object VALUES (?)", [(key,) for key in keys])
        database.executemany(
            "INSERT INTO change VALUES (?, 'x', ?)", [(number, begun + number) for number in range(1, revisions + 1)]
        )
        database.execute("INSERT INTO change_head VALUES (?)", (revisions,))
    with closing(sqlite3.connect(folder / "pipeline" / "pipeline.sqlite")) as database, database:
        database.executescript("DROP TABLE IF EXISTS cursor; CREATE TABLE cursor (revision INTEGER)")
        database.execute("INSERT INTO cursor VALUES (?)", (revisions,))
    for key in keys:
        (folder / "storage" / "objects" / key).write_text(key)


def _revisions(folder: Path) -> tuple[int, int]:
    """Up to where storage has written its change log, and the pipeline has read it."""
    found = []
    for name, table in (("storage", "change_head"), ("pipeline", "cursor")):
        with closing(sqlite3.connect(folder / name / f"{name}.sqlite")) as database:
            found.append(database.execute(f"SELECT revision FROM {table}").fetchone()[0])
    return found[0], found[1]


def test_a_backup_takes_the_place_of_an_earlier_state_of_the_same_data_alone(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "backup"
    _index(data, "a_1", revisions=3)
    back_up(data, copy)
    _index(data, "a_1", "b_2", revisions=5)
    assert back_up(data, copy).objects == 1
    assert _revisions(copy) == (5, 5)

    other = tmp_path / "other"
    _index(other, "a_9", revisions=9)
    with pytest.raises(FailedPrecondition, match="another installation"):
        back_up(other, copy)
    restored = tmp_path / "restored"
    _index(restored, "a_1", revisions=3)
    with pytest.raises(FailedPrecondition, match="as before a restore"):
        back_up(restored, copy)
    _index(restored, "a_1", revisions=7, begun=1000)
    with pytest.raises(FailedPrecondition, match="as before a restore"):
        back_up(restored, copy)
    assert _revisions(copy) == (5, 5)


def test_no_backup_is_written_over_the_data_itself(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _index(data, "a_1", revisions=3)
    before = (data / "storage" / "storage.sqlite").stat().st_ino
    (tmp_path / "link").symlink_to(data)
    for into in (data, data / "backup", tmp_path, tmp_path / "link"):
        with pytest.raises(FailedPrecondition, match="no backup"):
            back_up(data, into)
    assert (data / "storage" / "storage.sqlite").stat().st_ino == before
    assert not (data / "backup").exists()


def test_a_backup_that_is_broken_off_leaves_the_earlier_one_whole(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "backup"
    _index(data, "a_1", revisions=3)
    back_up(data, copy)
    _index(data, "a_1", "b_2", revisions=5)
    obstacle = copy / "storage" / "objects" / ".b_2"  # where the new object is written first
    obstacle.mkdir()
    with pytest.raises(FailedPrecondition, match="Copying failed"):
        back_up(data, copy)
    assert _revisions(copy) == (3, 3)
    obstacle.rmdir()
    back_up(data, copy)
    assert _revisions(copy) == (5, 5)
