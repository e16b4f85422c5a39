"""The npm packages of the viewer example, installed once where npm is there."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

VIEWER = Path(__file__).parents[2] / "examples" / "viewer"


def installed_viewer() -> Path:
    """`examples/viewer` with its packages as its lock file has them; skips the test where they are not to be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed (Debian: apt-get install npm), so the viewer example is not built")
    modules = VIEWER / "node_modules"
    lock = VIEWER / "package-lock.json"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stamp = modules / ".installed"
        if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=VIEWER, capture_output=True, text=True, check=False, timeout=400)
            if done.returncode != 0:
                pytest.skip(f"the npm registry gives no packages: {done.stderr.strip().splitlines()[-1][:200]}")
            shutil.copyfile(lock, stamp)
    return VIEWER
