"""The parts of the supervisor that need no process."""

from __future__ import annotations

import errno
import io
import itertools
import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import FailedPrecondition, InvalidArgument, Unavailable
from imaging.settings import DOOR_NAMES, SERVICE_NAMES, Settings, load_settings
from imaging.supervisor.addresses import check_free, service_addresses
from imaging.supervisor.backoff import Backoff
from imaging.supervisor.data_lock import DataLock
from imaging.supervisor.environment import child_environment
from imaging.supervisor.service_log import ServiceLog, error_text


def test_ports_follow_each_other_from_the_base_on() -> None:
    addresses = service_addresses(Settings(), 6000)
    names = [*SERVICE_NAMES, *DOOR_NAMES]
    assert list(addresses.items()) == [(name, f"127.0.0.1:{6000 + n}") for n, name in enumerate(names)]


def test_base_zero_gives_different_free_ports() -> None:
    addresses = service_addresses(Settings(), 0)
    assert len(set(addresses.values())) == len(SERVICE_NAMES) + len(DOOR_NAMES)
    check_free(addresses)


def test_no_base_takes_the_addresses_of_the_settings() -> None:
    assert service_addresses(Settings(), None)["pipeline"] == "127.0.0.1:50055"


@pytest.mark.parametrize("base", [-1, 65530, 99999])
def test_base_without_room_for_all_ports_is_refused(base: int) -> None:
    with pytest.raises(InvalidArgument, match="do not exist"):
        service_addresses(Settings(), base)


def test_taken_port_is_told_with_the_service_and_a_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(Unavailable, match="--port-base") as told:
            check_free({"storage": address})
    assert told.value.where == address
    assert "storage" in told.value.what


def test_data_folder_is_held_by_one_only(tmp_path: Path) -> None:
    first, second = DataLock(tmp_path / "data"), DataLock(tmp_path / "data")
    first.acquire()
    with pytest.raises(FailedPrecondition, match="Another `imaging up`"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="cannot be written"):
        DataLock(tmp_path / "file" / "data").acquire()


@given(lives=st.lists(st.floats(0, 9), min_size=1, max_size=40))
@settings(max_examples=50)
def test_backoff_grows_to_its_limit_and_never_beyond(lives: list[float]) -> None:
    backoff = Backoff()
    waits = [backoff.after(timedelta(seconds=life)) for life in lives]
    assert waits[0] == backoff.first
    assert all(first <= second for first, second in itertools.pairwise(waits))
    assert max(waits) <= backoff.longest


def test_backoff_begins_anew_after_a_long_life() -> None:
    backoff = Backoff()
    for _ in range(6):
        backoff.after(timedelta(0))
    assert backoff.is_looping
    assert backoff.after(timedelta(minutes=1)) == backoff.first
    assert not backoff.is_looping


def test_children_get_every_setting_and_no_settings_file() -> None:
    given_settings = load_settings(
        None,
        {},
        {
            "storage.quiet_time_seconds": 2.5,
            "security.insecure": True,
            "data_dir": "/data",
            "pipeline.recipes_dir": "/r",
        },
    )
    environment = child_environment(
        given_settings, {"PATH": "/bin", "IMAGING_CONFIG": "x.toml", "IMAGING_DATA_DIR": "/other", "IMAGING_DEBUG": "1"}
    )
    assert environment["PATH"] == "/bin"
    assert environment["IMAGING_DEBUG"] == "1"
    assert "IMAGING_CONFIG" not in environment
    assert load_settings(None, environment) == given_settings


def test_log_rotates_by_size_and_keeps_the_newest(tmp_path: Path) -> None:
    log = ServiceLog(tmp_path / "service.log", max_bytes=100)
    for number in range(50):
        log.write(b'{"n": %d}' % number)
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["service.log", "service.log.1", "service.log.2", "service.log.3"]
    newest = (tmp_path / "service.log.1").read_text().splitlines() + (tmp_path / "service.log").read_text().splitlines()
    assert newest[-1] == '{"n": 49}'


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (json.dumps({"level": "ERROR", "message": "no"}), "no"),
        (json.dumps({"level": "ERROR", "message": "no", "error": "OSError"}), "no [OSError]"),
        (json.dumps({"level": "INFO", "message": 'the word "ERROR"'}), ""),
        ('"ERROR" but no JSON', ""),
        ('["ERROR"]', ""),
    ],
)
def test_error_lines_are_found(line: str, text: str) -> None:
    assert error_text(line.encode()) == text


def test_log_on_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    log = ServiceLog(tmp_path / "small.log")
    log.write(b'{"level": "INFO", "message": "first"}')
    log.close()

    class Full(io.RawIOBase):
        def __init__(self, room: int = 10) -> None:
            self.room = room

        def write(self, data: Any) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            with log.path.open("ab") as file:
                file.write(bytes(data)[: self.room])
            self.room = 0
            return 10

    log._file = Full()  # type: ignore[assignment]
    assert log.write(b'{"level": "ERROR", "message": "torn in the middle"}') == "torn in the middle"
    log._file = Full(room=0)  # type: ignore[assignment]
    assert log.write(b'{"level": "INFO", "message": "lost"}') == ""
    log.write(b'{"level": "INFO", "message": "room again"}')
    log.close()
    first, torn, note, last = log.path.read_text().splitlines()
    assert "first" in first
    assert torn == '{"level": '
    assert json.loads(note)["message"].startswith("2 lines")
    assert json.loads(last)["message"] == "room again"
