"""The command line as a user meets it, without services."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from imaging import errors
from imaging.cli.amounts import seconds_text, size_text
from imaging.cli.commands import app
from imaging.cli.exit_codes import ExitCode, exit_code_of
from imaging.cli.printable import printable
from imaging.cli.program import main

COMMANDS = (
    *("up", "serve", "demo", "store", "search", "retrieve", "runs", "storage", "db", "report", "backup", "restore"),
    *("reports", "alerts", "destinations", "doctor", "front"),
)


def imaging(*arguments: str, cwd: Path, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("IMAGING_")}
    return subprocess.run(
        [sys.executable, "-m", "imaging", *arguments],
        cwd=cwd,
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_help_names_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    told = imaging("--help", cwd=tmp_path)
    assert told.returncode == ExitCode.OK
    assert all(f" {command} " in told.stdout for command in COMMANDS)
    assert "Exit codes" in told.stdout


def test_help_of_every_command_tells_all_its_parameters() -> None:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
        yield command, path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*path, name))

    commands = list(walk(typer.main.get_command(app), ()))
    assert {path[0] for _, path in commands if path} == set(COMMANDS)
    for command, path in commands:
        result = CliRunner().invoke(app, [*path, "--help"], terminal_width=300)
        assert result.exit_code == 0, (path, result.exception)
        shown = " ".join(re.sub(r"[│╭╮╰╯─]|\s", " ", result.output).split())
        # What rich takes for markup would be missing.
        for parameter in command.params:
            if not getattr(parameter, "hidden", False) and getattr(parameter, "help", None):
                assert parameter.help in shown, (path, parameter.name)
        for paragraph in (command.help or "").split("\n\n"):
            assert " ".join(paragraph.split()) in shown, path


def test_importing_the_package_brings_no_grpc(tmp_path: Path) -> None:
    code = "import imaging, sys; assert imaging.connect; assert not {'grpc', 'numpy', 'pydicom'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("store",), "Missing argument"),
        (("fly",), "No such command"),
        (("serve", "kitchen"), "no service `kitchen`"),
        (("up", "--set", "storage.quiet"), "has no value"),
        (("up", "--set", "storage.quiet_tme_seconds=3"), "quiet_time_seconds"),
        (("up", "--port-base", "65535"), "do not exist"),
        (("search", "PatientID"), "is no key"),
        (("search", "--endpoint", "nonsense"), "is not an address"),
        (("search", "PatientName=\udcff"), "not UTF-8"),
        (("store", ""), "path is empty"),
    ],
)
def test_wrong_usage_is_told_and_ends_with_2(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    result = imaging(*arguments, cwd=tmp_path)
    assert result.returncode == ExitCode.USAGE
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_variable_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    result = imaging("search", cwd=tmp_path, IMAGING_STORAGE_ADRESS="127.0.0.1:1")
    assert result.returncode == ExitCode.USAGE
    assert "IMAGING_STORAGE_ADDRESS" in result.stderr


def test_absent_services_are_unavailable_with_a_hint_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "image.dcm").write_bytes(bytes(128) + b"DICM" + bytes(10))
    for arguments in (("store", "image.dcm"), ("runs", "list")):
        result = imaging(*arguments, "--endpoint", "127.0.0.1:1", cwd=tmp_path)
        assert result.returncode == ExitCode.UNAVAILABLE, arguments
        assert "imaging up" in result.stderr
        assert "Traceback" not in result.stderr


def test_json_errors_are_one_line_of_json(tmp_path: Path) -> None:
    result = imaging("search", "--json", "--endpoint", "127.0.0.1:1", cwd=tmp_path)
    (line,) = result.stderr.splitlines()
    assert json.loads(line)["error"]["reason"] == "UNAVAILABLE"
    assert result.stdout == ""


def test_up_refuses_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        result = imaging("up", "--data", "data", "--set", f"storage.address={address}", cwd=tmp_path)
    assert result.returncode == ExitCode.UNAVAILABLE
    assert address in result.stderr
    assert "--port-base" in result.stderr


def test_up_refuses_an_address_that_others_can_reach(tmp_path: Path) -> None:
    result = imaging("up", "--data", "data", "--set", "storage.address=0.0.0.0:50051", cwd=tmp_path)
    assert result.returncode == ExitCode.USAGE
    assert "--insecure" in result.stderr


def test_demo_never_deletes_what_it_did_not_write(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    result = imaging("demo", "--out", "out", cwd=tmp_path)
    assert result.returncode == ExitCode.USAGE
    assert "thesis.txt" in result.stderr
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    command = f'exec "{sys.executable}" -m imaging search --endpoint 127.0.0.1:1 {closed}'
    result = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert result.returncode == ExitCode.UNAVAILABLE


def test_full_disk_behind_the_output_is_no_room_left(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "imaging", "doctor", "--json", "--endpoint", "127.0.0.1:1"]
        result = subprocess.run(
            command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert result.returncode == ExitCode.NO_ROOM
    assert json.loads(result.stderr.splitlines()[-1])["error"]["reason"] == "STORAGE_FULL"


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    with socket.socket() as silent:
        # Somebody who takes the connection and never answers keeps the command waiting.
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        command = [sys.executable, "-m", "imaging", "search", "--endpoint", f"127.0.0.1:{silent.getsockname()[1]}"]
        # A shell without job control lets what it starts in the background ignore Ctrl-C, and so all that this starts.
        heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, preexec_fn=heeding)
        silent.settimeout(30)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, told = process.communicate(timeout=30)
        connection.close()
    assert process.returncode == ExitCode.INTERRUPTED
    assert b"Traceback" not in told
    assert time.monotonic() - began < 10


def test_ctrl_c_while_the_program_is_still_loading_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "imaging.cli.commands", Loading("imaging.cli.commands"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.INTERRUPTED


def test_doctor_finds_this_machine_fit(tmp_path: Path) -> None:
    result = imaging("doctor", "--json", "--endpoint", "127.0.0.1:1", "--data", str(tmp_path), cwd=tmp_path)
    checks = [json.loads(line) for line in result.stdout.splitlines()]
    by_name = {check["name"]: check for check in checks if "name" in check}
    for family in ("native", "RLE", "JPEG-LS", "JPEG 2000", "HTJ2K", "JPEG lossless", "JPEG baseline"):
        assert by_name[family]["state"] == "ok", by_name[family]
    assert by_name["durable write"]["state"] in ("ok", "warning")
    assert by_name["pydicom"]["state"] == "ok"
    assert checks[-1]["summary"]["checks"] == len(checks) - 1


def test_control_characters_of_foreign_text_are_shown_not_sent() -> None:
    assert printable("Müller^Änne") == "Müller^Änne"
    assert printable("a\x1b[31mred\r\n") == "a\\x1b[31mred\\r\\n"
    assert printable("left\u202eright\u2028") == "left\\u202eright\\u2028"
    assert printable("x" * 300) == "x" * 200 + "…"


def test_every_domain_error_has_a_stable_exit_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ImagingError)]
    defects = [kind for kind in kinds if exit_code_of(kind("x")) is ExitCode.DEFECT]
    assert all(kind is errors.ImagingError or issubclass(kind, errors.Internal) for kind in defects)
    assert exit_code_of(errors.StaleAttempt("x")) is ExitCode.REFUSED


def test_amounts_read_well() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 1_500_000, 2 * 10**9, 10**13)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "2.0 GB",
        "10.0 TB",
    ]
    assert [seconds_text(s) for s in (None, 0.84, 73.2, 303)] == ["-", "0.8 s", "73 s", "5 min 03 s"]


def test_a_raw_syntax_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["store", "--raw", "foo", str(tmp_path)])
    assert result.exit_code == 2
    assert "implicit, explicit, big-endian" in re.sub(r"[\s│]+", " ", result.output)


def test_front_writes_what_a_traefik_is_told(tmp_path: Path) -> None:
    told = imaging("front", "--out", "front", "--json", cwd=tmp_path)
    assert told.returncode == ExitCode.OK, told.stderr
    assert json.loads(told.stdout)["entry"] == str(tmp_path / "front" / "traefik.yaml")
    assert str(tmp_path / "front" / "routes.yaml") in (tmp_path / "front" / "traefik.yaml").read_text()
