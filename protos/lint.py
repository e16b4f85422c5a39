"""Lint the contracts with buf, and compare them with the last release for breaking changes.

buf reads a module of its own for Google's protos; it is laid out below `build/` from the installed wheel, because no
copy of foreign contracts belongs into this tree.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from generate import PROTOS, ROOT, include_paths

WORKSPACE = ROOT / "build" / "buf"


def lay_out_workspace(workspace: Path, ours: Path) -> None:
    """Make a buf workspace in which `ours` and the protos of `google.rpc` are modules."""
    shutil.rmtree(workspace, ignore_errors=True)
    (workspace / "google_rpc" / "google" / "rpc").mkdir(parents=True)
    shutil.copy(include_paths()[0] / "google" / "rpc" / "status.proto", workspace / "google_rpc" / "google" / "rpc")
    shutil.copytree(ours / "imaging", workspace / "imaging_protos" / "imaging")
    rules = (ours / "buf.yaml").read_text().split("\n", 1)[1]
    modules = (
        "modules:\n  - path: imaging_protos\n  - path: google_rpc\n    lint:\n      ignore: [google_rpc]\n"
        "    breaking:\n      ignore: [google_rpc]\n"
    )
    (workspace / "buf.yaml").write_text(f"version: v2\n{modules}{rules}")


def last_release() -> str | None:
    """The newest tag before HEAD, which may be a release itself; None before the first one."""
    found = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "HEAD^"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def main() -> int:
    """Run `buf lint`, then `buf breaking` against the last release; the exit code of the first that fails."""
    buf = Path(sys.executable).with_name("buf")
    lay_out_workspace(WORKSPACE, PROTOS)
    code = subprocess.run([buf, "lint"], cwd=WORKSPACE, check=False).returncode
    release = last_release()
    if code or release is None:
        print("buf lint failed" if code else "buf lint: clean; no release yet to compare with")
        return code
    before = WORKSPACE.with_name("buf-before")
    archive = before.with_name("release-protos")
    shutil.rmtree(archive, ignore_errors=True)
    archive.mkdir(parents=True)
    tar = subprocess.run(["git", "archive", release, "protos"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", archive], input=tar, check=True)
    lay_out_workspace(before, archive / "protos")
    code = subprocess.run([buf, "breaking", "--against", before], cwd=WORKSPACE, check=False).returncode
    print(f"buf breaking against {release}: {'failed' if code else 'clean'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
