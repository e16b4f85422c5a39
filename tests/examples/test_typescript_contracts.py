"""The published TypeScript stubs are what the contracts say now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.viewer_tools import installed_viewer

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]


def test_typescript_stubs_are_up_to_date_and_their_types_fit_the_example(tmp_path: Path) -> None:
    viewer = installed_viewer()
    plugin = viewer / "node_modules" / ".bin" / "protoc-gen-es"
    script = "import sys, pathlib, generate_typescript as g; g.generate(*map(pathlib.Path, sys.argv[1:]))"
    command = [sys.executable, "-c", script, str(tmp_path / "contracts"), str(plugin)]
    subprocess.run(command, cwd=ROOT / "protos", check=True, timeout=120)
    made = {
        path.relative_to(tmp_path / "contracts"): path.read_text() for path in (tmp_path / "contracts").rglob("*.ts")
    }
    kept = viewer / "src" / "contracts"
    assert made == {path.relative_to(kept): path.read_text() for path in kept.rglob("*.ts")}, "run `make typescript`"
    done = subprocess.run(
        [viewer / "node_modules" / ".bin" / "tsc", "--noEmit"], cwd=viewer, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
