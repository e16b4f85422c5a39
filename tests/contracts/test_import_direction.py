"""Imports point one way: services import `imaging`, never each other; `imaging` imports no service."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("storage_svc", "processing_svc", "analysis_svc", "reporting_svc", "pipeline_svc", "gateway_svc")


def _imported_packages(folder: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in (ROOT / folder).rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module.partition(".")[0])
        found[str(file.relative_to(ROOT))] = names
    return found


@pytest.mark.parametrize("folder", ["imaging", *SERVICES])
def test_no_package_imports_a_service_that_is_not_itself(folder: str) -> None:
    wrong = {
        file: sorted(names & set(SERVICES) - {folder})
        for file, names in _imported_packages(folder).items()
        if names & set(SERVICES) - {folder}
    }
    assert not wrong


def test_storage_serves_without_the_memory_that_pydicom_takes() -> None:
    code = "import storage_svc.service, sys; assert not {'pydicom', 'PIL', 'scipy', 'skimage'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
