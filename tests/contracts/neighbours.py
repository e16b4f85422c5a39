"""The last release's clients with these services, and these clients with the last release's services: the main job.

`python -m tests.contracts.neighbours` takes the newest tag before HEAD; without one there is nothing to compare with,
and it says so. `--release COMMIT` takes any other commit. Both run in this environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from imaging.settings import SERVICE_NAMES
from tests.installation.running import running_installation

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every study got its report both ways, or there is no release yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", help="a tag or commit; the newest tag before HEAD if it is left out")
    release = parser.parse_args(arguments).release or last_release()
    if release is None:
        sys.stdout.write("no release yet to compare with\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="imaging-release-") as folder:
        before = Path(folder) / "release"
        before.mkdir()
        lay_out(release, before)
        failed = [
            told
            for told, services, clients in (
                (f"services of today, clients of {release}", ROOT, before),
                (f"services of {release}, clients of today", before, ROOT),
            )
            if not main_job(Path(folder), told, services, clients)
        ]
    return 1 if failed else 0


def last_release() -> str | None:
    """The newest tag before HEAD, which may be a release itself."""
    found = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "HEAD^"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def lay_out(release: str, folder: Path) -> None:
    """Write the files of a release into a folder."""
    archive = subprocess.run(["git", "archive", release], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)


def main_job(folder: Path, told: str, services: Path, clients: Path) -> bool:
    """Small studies into running services by `imaging demo`; whether each got its report."""
    work = Path(tempfile.mkdtemp(dir=folder))
    with running_installation(work / "data", sources=services) as installation:
        addresses = {f"IMAGING_{name.upper()}_ADDRESS": installation.endpoints[name] for name in SERVICE_NAMES}
        demo = [sys.executable, "-m", "imaging", "demo", "--running", "--no-phantom", "--json", "--out", work / "out"]
        done = subprocess.run(
            demo,
            cwd=clients,
            env={**os.environ, **addresses, "PYTHONPATH": str(clients)},
            capture_output=True,
            text=True,
            check=False,
        )
    sys.stdout.write(f"{told}: {'every study has its report' if done.returncode == 0 else 'FAILED'}\n")
    if done.returncode:
        sys.stdout.write(f"{done.stdout[-2000:]}{done.stderr[-2000:]}\n")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
