"""Backup while the services run, wipe, restore: every byte, run and report is there again."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
