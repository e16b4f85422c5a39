"""What a command loads before it does anything: users wait for it at every call, and so does each process we start."""

from __future__ import annotations

import subprocess
import sys

import pytest

OF_PIXELS = ("numpy", "pydicom", "imagecodecs", "scipy")
OF_SERVERS = ("sqlalchemy", "grpc_reflection.v1alpha", "opentelemetry.sdk", "uvicorn", "minio", "highdicom")
OF_CALLS = ("grpc", "google.protobuf", "imaging.settings")


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has after the code, which may end it."""
    told = "import atexit, sys\natexit.register(lambda: sys.stderr.write('\\n' + ' '.join(sys.modules)))\n"
    ended = subprocess.run(
        [sys.executable, "-c", told + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["up", "--help"], ["storage", "quarantine", "--help"]]
)
def test_help_and_version_load_no_client_and_no_service(arguments: list[str]) -> None:
    modules = loaded(f"import sys\nsys.argv[1:] = {arguments}\nfrom imaging.cli.program import main\nmain()")
    assert "imaging.cli.commands" in modules
    assert not modules.intersection(OF_CALLS + OF_PIXELS + OF_SERVERS)


def test_a_client_loads_nothing_of_pixels_and_servers_before_it_needs_them() -> None:
    modules = loaded("from imaging.client.sync_client import Client")
    assert modules.issuperset(OF_CALLS)
    assert not modules.intersection(OF_PIXELS + OF_SERVERS)


def test_the_package_itself_loads_nothing() -> None:
    assert {module for module in loaded("import imaging") if module.startswith("imaging.")} == set()
