"""A storage service in a process of its own, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def start_storage(data: Path, address: str = "127.0.0.1:0") -> tuple[subprocess.Popen[str], str]:
    """The process and the address that it serves on."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("IMAGING_")}
    command = [sys.executable, "-m", "imaging", "serve", "storage", "--json", "--address", address, "--data", str(data)]
    with (data.parent / f"{data.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--parent-pid", str(os.getpid())],
            stdout=subprocess.PIPE,
            stderr=log,
            env=env,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the storage service did not start"
    return process, str(json.loads(line)["address"])


def stop_storage(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture(scope="module")
def storage_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, address = start_storage(tmp_path_factory.mktemp("storage") / "data")
    yield address
    stop_storage(process)
