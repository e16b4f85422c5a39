"""The whole installation from the command line: `imaging up` and what a user does with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pydicom
import pydicom.data
import pytest

import imaging as imaging_package
from imaging.cli.exit_codes import ExitCode
from imaging.client.patience import Patience
from imaging.errors import FailedPrecondition, NotFound
from imaging.settings import SERVICE_NAMES
from tests.ct_series import ct_series
from tests.demo_output import problems_of
from tests.installation.running import Installation, running_installation

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("installation")]

WHEEL = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_installation(tmp_path_factory.mktemp("up") / "data") as running:
        yield running


def imaging(installation: Installation, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    """Run a command that finds the services by their data folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("IMAGING_")}
    return subprocess.run(
        [sys.executable, "-m", "imaging", *arguments, "--data", str(installation.data_dir)],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def json_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_thousand_mixed_files_are_each_named_and_the_rest_is_stored(installation: Installation, tmp_path: Path) -> None:
    good = ct_series("cli-mixed", slices=100, size=16)
    for number, content in enumerate(good.instances.values()):
        (tmp_path / f"good-{number:03d}.dcm").write_bytes(content)
    content = next(iter(good.instances.values()))
    for number in range(300):
        (tmp_path / f"cut-{number:03d}.dcm").write_bytes(content[: 200 + number * (len(content) - 300) // 300])
    for number in range(300):
        (tmp_path / f"text-{number:03d}.txt").write_text(f"not an image, number {number}")
    for number in range(298):
        (tmp_path / f"empty-{number:03d}").write_bytes(b"")
    # A name that is not UTF-8, as old archives have them.
    (tmp_path / os.fsdecode(b"empty-\xff")).write_bytes(b"")
    (tmp_path / "DICOMDIR").write_bytes((WHEEL / "dicomdirtests" / "DICOMDIR").read_bytes())
    result = imaging(installation, "store", str(tmp_path), "--json")
    assert result.returncode == ExitCode.SOME_FAILED, result.stderr
    *files, summary = json_lines(result.stdout)
    assert len(files) == 1000
    assert summary["summary"] == {
        "stored": 100,
        "rejected": 899,
        "skipped": 1,
        "size_bytes": sum(len(item) for item in good.instances.values()),
        "seconds": summary["summary"]["seconds"],  # type: ignore[index]
        "studies": [good.study],
    }
    for file in files:
        name = Path(str(file["path"])).name
        if name.startswith("good"):
            assert file["status"] == "stored"
        elif name == "DICOMDIR":
            assert file["status"] == "skipped"
        else:
            assert file["status"] == "rejected"
            assert file["error"]["text"]  # type: ignore[index]


def test_store_for_people_names_bad_files_and_tells_the_fix_once(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no image")
    (tmp_path / "b.txt").write_text("no image")
    (tmp_path / "c.dcm").write_bytes((WHEEL / "CT_small.dcm").read_bytes())
    result = imaging(installation, "store", str(tmp_path))
    assert result.returncode == ExitCode.SOME_FAILED
    assert "a.txt: It is not a DICOM file" in result.stderr
    assert "b.txt: It is not a DICOM file" in result.stderr
    assert result.stderr.count("fix for 2 files") == 1
    assert "1 stored" in result.stdout


def test_good_files_alone_end_with_0_and_nothing_at_all_with_1(installation: Installation, tmp_path: Path) -> None:
    assert imaging(installation, "store", str(WHEEL / "CT_small.dcm")).returncode == ExitCode.OK
    assert imaging(installation, "store", str(tmp_path)).returncode == ExitCode.SOME_FAILED


def test_foreign_control_characters_never_reach_the_terminal(installation: Installation, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(WHEEL / "CT_small.dcm")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Evil^\u202eName"
    dataset.PatientID = "ESCAPE-1"
    dataset.StudyDescription = "a\u009b31mb\u0085c"
    dataset.StudyInstanceUID += ".1"
    dataset.SeriesInstanceUID += ".1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{dataset.SOPInstanceUID}.1"
    dataset.save_as(tmp_path / "evil.dcm")
    assert imaging(installation, "store", str(tmp_path)).returncode == ExitCode.OK
    result = imaging(installation, "search", "PatientID=ESCAPE-1")
    assert result.returncode == ExitCode.OK
    assert "Evil" in result.stdout
    assert not set(result.stdout) & {"\u202e", "\u009b", "\u0085", "\x1b"}
    (found,) = json_lines(imaging(installation, "search", "patient_id=ESCAPE-1", "--json").stdout)
    assert found["patient_name"] == "Evil^\u202eName"
    assert found["description"] == "a\u009b31mb\u0085c"


def test_search_that_finds_nothing_ends_with_4(installation: Installation) -> None:
    assert imaging(installation, "search", "PatientID=nobody").returncode == ExitCode.NOT_FOUND
    assert imaging(installation, "search", "FavouriteColour=red").returncode == ExitCode.USAGE
    assert imaging(installation, "retrieve", "studies/1.2.3").returncode == ExitCode.NOT_FOUND
    assert imaging(installation, "runs", "show", "nothing").returncode == ExitCode.NOT_FOUND
    missing = imaging(installation, "report", "1.2.3")
    assert missing.returncode == ExitCode.NOT_FOUND
    assert "no such study" in missing.stderr


def test_a_run_by_a_named_recipe_and_a_report_made_final(installation: Installation, tmp_path: Path) -> None:
    series = ct_series("cli-named-recipe", slices=4, size=32)
    for uid, content in series.instances.items():
        (tmp_path / f"{uid}.dcm").write_bytes(content)
    assert imaging(installation, "store", "--complete", str(tmp_path)).returncode == ExitCode.OK
    started = imaging(installation, "runs", "start", series.study, "--recipe", "general", "--json")
    assert started.returncode == ExitCode.OK, started.stderr
    run = json_lines(started.stdout)[-1]
    assert (run["recipe"], run["state"]) == ("general", "SUCCEEDED")
    assert imaging(installation, "runs", "start", series.study, "--recipe", "fancy").returncode == ExitCode.NOT_FOUND

    by = ("--by", "Doe^Jane", "--organization", "City Hospital")
    final = imaging(installation, "reports", "finalize", str(run["report"]), *by)
    assert final.returncode == ExitCode.OK, final.stderr
    listed = json_lines(imaging(installation, "reports", "list", "--study", series.study, "--json").stdout)
    assert {report["name"]: report["state"] for report in listed}[run["report"]] == "FINAL"


def test_who_waits_for_a_report_is_told_each_state_of_its_run_once(installation: Installation, tmp_path: Path) -> None:
    series = ct_series("cli-waiting", slices=40, size=128)
    for uid, content in series.instances.items():
        (tmp_path / f"{uid}.dcm").write_bytes(content)
    assert imaging(installation, "store", "--complete", str(tmp_path)).returncode == ExitCode.OK
    report = imaging(installation, "report", series.study_instance_uid, "--wait", "--out", str(tmp_path / "report"))
    assert report.returncode == ExitCode.OK, report.stderr
    states = [line for line in report.stderr.splitlines() if line.startswith("run ")]
    assert states[-1] == "run succeeded"
    assert len(set(states)) == len(states)


def test_from_files_to_report_and_back(installation: Installation, tmp_path: Path) -> None:
    series = ct_series("cli-whole-way", slices=6, size=48)
    sent = tmp_path / "in"
    sent.mkdir()
    for uid, content in series.instances.items():
        (sent / f"{uid}.dcm").write_bytes(content)
    assert imaging(installation, "store", "--complete", str(sent)).returncode == ExitCode.OK

    watched = imaging(installation, "runs", "watch", series.study, "--json")
    assert watched.returncode == ExitCode.OK, watched.stderr
    last = json_lines(watched.stdout)[-1]
    assert last["state"] == "SUCCEEDED"
    listed = json_lines(imaging(installation, "runs", "list", "--study", series.study, "--json").stdout)
    assert [run["name"] for run in listed] == [last["name"]]
    shown = imaging(installation, "runs", "show", str(last["name"]))
    assert "image-statistics" in shown.stdout
    assert "succeeded" in shown.stdout
    assert "checked 1 x Comprehensive 3D SR" in " ".join(shown.stdout.split())

    report = imaging(installation, "report", series.study_instance_uid, "--out", str(tmp_path / "report"))
    assert report.returncode == ExitCode.OK, report.stderr
    kinds = {path.read_bytes()[:4] for path in (tmp_path / "report").iterdir()}
    assert b"%PDF" in kinds
    assert b"\x89PNG" in kinds

    fhir = json.loads((tmp_path / "report" / "report.fhir.json").read_text())
    assert fhir["entry"][0]["resource"]["resourceType"] == "DiagnosticReport"

    back = imaging(installation, "retrieve", series.series, "--out", str(tmp_path / "back"))
    assert back.returncode == ExitCode.OK
    found = {path.stem: path.read_bytes() for path in (tmp_path / "back").rglob("*.dcm")}
    assert found == series.instances


def test_what_is_kept_is_verified_held_deleted_and_restored(installation: Installation, tmp_path: Path) -> None:
    series = ct_series("cli-keeping", slices=3, size=16)
    for uid, content in series.instances.items():
        (tmp_path / f"{uid}.dcm").write_bytes(content)
    assert imaging(installation, "store", str(tmp_path)).returncode == ExitCode.OK
    sound = imaging(installation, "storage", "verify", series.series)
    assert sound.returncode == ExitCode.OK, sound.stderr
    assert "3 objects verified" in sound.stdout

    # Of the series, not of the study, which has results too when it has been quiet for long enough.
    study_folder = installation.data_dir / "storage" / "objects" / "studies" / series.study_instance_uid
    folder = study_folder / series.series_instance_uid
    damaged = sorted(folder.rglob("*.dcm"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    result = imaging(installation, "storage", "verify", series.series, "--json")
    assert result.returncode == ExitCode.DATA_LOSS
    found, summary = json_lines(result.stdout)
    assert found["condition"] == "differing"
    assert str(found["object_key"]).endswith(damaged.name)
    assert summary["summary"]["damaged"] == 1  # type: ignore[index]
    assert imaging(installation, "storage", "scrub").returncode == ExitCode.DATA_LOSS
    assert (
        imaging(installation, "retrieve", series.study, "--out", str(tmp_path / "o")).returncode == ExitCode.DATA_LOSS
    )
    assert imaging(installation, "store", str(tmp_path)).returncode == ExitCode.OK
    scrub = imaging(installation, "storage", "scrub", "--now")
    assert scrub.returncode == ExitCode.OK, scrub.stdout + scrub.stderr

    assert imaging(installation, "storage", "hold", series.study).returncode == ExitCode.USAGE
    assert imaging(installation, "storage", "hold", series.study, "--reason", "case 7").returncode == ExitCode.OK
    refused = imaging(installation, "storage", "delete", series.series)
    assert refused.returncode == ExitCode.REFUSED
    assert "legal hold" in refused.stderr
    assert imaging(installation, "storage", "hold", series.study, "--release").returncode == ExitCode.OK
    for name in (f"{series.series}/instances/{next(iter(series.instances))}", series.series, series.study):
        deleted = imaging(installation, "storage", "delete", name, "--reason", "a test")
        assert deleted.returncode == ExitCode.OK, deleted.stderr
        assert "purged after" in deleted.stdout
        assert imaging(installation, "storage", "restore", name).returncode == ExitCode.OK
    assert imaging(installation, "storage", "restore", "studies/1.2.9").returncode == ExitCode.NOT_FOUND
    back = imaging(installation, "retrieve", series.series, "--out", str(tmp_path / "back"))
    assert back.returncode == ExitCode.OK
    assert "3 instances" in back.stdout


def test_second_up_on_the_same_data_folder_is_refused(installation: Installation) -> None:
    result = imaging(installation, "up", "--port-base", "0")
    assert result.returncode == ExitCode.REFUSED
    assert str(installation.supervisor.pid) in result.stderr
    assert "--data" in result.stderr


def test_doctor_sees_the_services_serving(installation: Installation) -> None:
    result = imaging(installation, "doctor", "--json")
    ports = [check for check in json_lines(result.stdout) if check.get("group") == "ports"]
    assert result.returncode == ExitCode.OK, result.stdout
    assert [check["name"] for check in ports] == list(SERVICE_NAMES)
    assert all("serving" in str(check["found"]) for check in ports)


def test_killed_service_comes_back_and_serves(installation: Installation) -> None:
    for service in ("storage", "pipeline"):
        before = installation.service_pid(service)
        assert installation.kill(service)
        until(lambda: installation.service_pid(service) not in (None, before))  # noqa: B023 - used at once
    deadline = time.monotonic() + 60
    while imaging(installation, "runs", "list").returncode or imaging(installation, "search").returncode:
        assert time.monotonic() < deadline


def test_logs_are_json_lines_of_each_service_without_patient_data(installation: Installation) -> None:
    for service in SERVICE_NAMES:
        text = (installation.data_dir / "logs" / f"{service}.log").read_text()
        assert all(json.loads(line)["service"] == service for line in text.splitlines() if line.startswith("{"))
        assert "Evil" not in text
        assert "CompressedSamples" not in text


def test_clients_follow_runs_and_get_findings_and_reports(installation: Installation, tmp_path: Path) -> None:
    series = ct_series("client-whole-way", slices=4, size=48)
    (tmp_path / "in").mkdir()
    for uid, content in series.instances.items():
        (tmp_path / "in" / f"{uid}.dcm").write_bytes(content)
    with imaging_package.connect(installation.endpoints) as client:
        summary = client.store(tmp_path / "in", complete=True)
        assert summary.studies == (series.study,)
        *_, run = client.runs.watch(client.study(series.study))
        assert run.has_ended
        assert run.state == "SUCCEEDED"
        assert client.runs.get(run.name) == run
        assert list(client.runs.list(series.study, states=["SUCCEEDED"])) == [run]
        assert client.runs.create(series.study, run.recipe).name == run.name
        with pytest.raises(FailedPrecondition):
            client.runs.retry(run)
        findings = client.findings(run=run)
        assert findings == client.findings(study=series.study)
        assert sum(stage.finding_count for stage in run.stages if stage.kind == "analyze") == len(findings)
        mean = next(finding for finding in findings if finding.derivation and finding.derivation.meaning == "Mean")
        assert mean.unit == "[hnsf'U]"
        (report,) = client.reports.list(series.study)
        assert report.name == run.report
        files = client.reports.download(report, tmp_path / "out")
        assert sorted(files) == sorted((tmp_path / "out").iterdir())
        assert {document.format for document in report} >= {"SR", "PDF", "HTML", "JSON"}


def test_study_that_gets_no_run_is_not_waited_for_without_end(installation: Installation) -> None:
    patience = Patience(give_up_after=timedelta(seconds=0.5))
    with imaging_package.connect(installation.endpoints, patience=patience) as client, pytest.raises(NotFound):
        next(client.runs.watch("studies/1.2.3"))


async def test_asynchronous_client_does_the_same(installation: Installation, tmp_path: Path) -> None:
    sent = ct_series("async-whole-way", slices=4, size=48)
    for uid, content in sent.instances.items():
        (tmp_path / f"{uid}.dcm").write_bytes(content)
    async with imaging_package.connect_async(installation.endpoints) as client:
        summary = await client.store(tmp_path, complete=True)
        assert summary.studies == (sent.study,)
        (study,) = await client.search_studies(study_instance_uid=sent.study_instance_uid)
        async for run in client.runs.watch(study):
            assert run.state in ("PENDING", "RUNNING", "SUCCEEDED")
        received = [series for series in await client.series(study) if not series.is_derived]
        volume = await client.to_numpy(received[0])
        assert volume.shape == (4, 48, 48)
        assert volume.is_volume
        assert [frame.frame_number async for frame in client.frames(received[0])] == [1] * 4
        assert (await client.runs.list(study))[0].state == "SUCCEEDED"


def test_demo_writes_what_it_promises_and_removes_what_it_needs_no_more(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("CT_small.dcm", "test-SR.dcm", "README.txt"):
        (tmp_path / "in" / name).write_bytes((WHEEL / name).read_bytes())
    earlier = tmp_path / "out" / "ct-0123abcd"
    earlier.mkdir(parents=True)
    (earlier / "report.pdf").write_text("of an earlier demonstration")
    (tmp_path / "out" / "summary.json").write_text('{"studies": [{"folder": "ct-0123abcd"}]}')

    command = [sys.executable, "-m", "imaging", "demo", "in", "--out", "out", "--json"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == ExitCode.OK, result.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    by_state = {study["state"]: study for study in summary["studies"]}
    assert set(by_state) == {"SUCCEEDED", "SKIPPED"}
    assert "no recipe fits" in by_state["SKIPPED"]["reason"]
    folder = tmp_path / "out" / by_state["SUCCEEDED"]["folder"]
    names = {path.name for path in folder.iterdir()}
    assert names >= {"report.pdf", "report.html", "report.sr.dcm", "key-image-1.png"}
    assert all(finding["unit"] for finding in by_state["SUCCEEDED"]["findings"])
    assert [Path(file["path"]).name for file in summary["input"]["rejected"]] == ["README.txt"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([folder.name, "summary.json"])
    assert "CompressedSamples" not in (tmp_path / "out" / "summary.json").read_text()

    lines, wrong = problems_of(tmp_path / "out")
    assert (len(lines), wrong) == (2, [])
    (folder / "report.pdf").write_bytes(b"")
    (folder / "report.sr.dcm").write_bytes((folder / "report.sr.dcm").read_bytes()[:1000])
    (folder / "key-image-1.png").unlink()
    told = " ".join(problems_of(tmp_path / "out")[1])
    assert all(name in told for name in ("report.pdf", "report.sr.dcm", "key-image-1.png"))


def test_demo_runs_on_services_that_are_there_and_leaves_them_their_data(
    installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.dcm").write_bytes((WHEEL / "MR_small.dcm").read_bytes())
    command = [sys.executable, "-m", "imaging", "demo", "in", "--running", "--out", "out", "--json"]
    env = {**os.environ, "IMAGING_DATA_DIR": str(installation.data_dir)}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == ExitCode.OK, result.stderr
    (study,) = json.loads((tmp_path / "out" / "summary.json").read_text())["studies"]
    assert study["state"] == "SUCCEEDED"
    assert json_lines(imaging(installation, "runs", "list", "--study", study["study"], "--json").stdout)


def test_services_die_with_a_killed_supervisor_and_ctrl_c_drains_the_pipeline_first(tmp_path: Path) -> None:
    with running_installation(tmp_path / "data") as installation:
        children = psutil.Process(installation.supervisor.pid).children(recursive=True)
        assert len(children) >= len(SERVICE_NAMES)
        installation.supervisor.kill()
        installation.supervisor.wait(10)
        assert not psutil.wait_procs(children, timeout=10)[1]
    with running_installation(tmp_path / "data") as installation:
        children = psutil.Process(installation.supervisor.pid).children()
        installation.supervisor.send_signal(signal.SIGINT)
        assert installation.supervisor.wait(60) == ExitCode.INTERRUPTED
        assert not psutil.wait_procs(children, timeout=5)[1]
        assert not (tmp_path / "data" / "endpoints.json").exists()
    events = json_lines((tmp_path / "data.stderr").read_text())
    stopped = [event["service"] for event in events if event.get("event") == "stopped"]
    # The front port, where it is installed, lets answers through until the last service has ended.
    last = ["front"] if "front" in installation.endpoints else []
    assert stopped == ["pipeline", "gateway", "reporting", "analysis", "processing", "storage", *last]
