"""The workflow and the Jenkinsfile: they call the targets that a person calls, and nothing that is not there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MUST = {"ci", "image", "sbom", "scan", "publish", "sign"}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def called(text: str) -> set[str]:
    return {target for line in re.findall(r"\bmake ([a-z \-]+)", text) for target in line.split()}


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text())
    return found


@pytest.mark.parametrize("file", [".github/workflows/ci.yaml", "Jenkinsfile"])
def test_every_target_that_is_called_exists_and_none_is_left_out(file: str) -> None:
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.lstrip().startswith("#")]
    named = called("\n".join(lines))
    assert named <= targets()
    assert named - {"publish-chart"} == MUST


def test_the_targets_of_ci_run_exist() -> None:
    assert called((ROOT / ".ci" / "run").read_text().replace('stage "make', 'stage "')) <= targets()


def test_the_jenkinsfile_is_short_and_its_braces_match() -> None:
    text = (ROOT / "Jenkinsfile").read_text()
    assert len(text.splitlines()) <= 10
    assert text.count("{") == text.count("}")


def test_jobs_may_do_only_what_they_need_and_end_some_time() -> None:
    found = workflow()
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        assert "timeout-minutes" in job
        assert ("permissions" in job) == (name == "publish")
        assert set(job.get("needs", [])) <= set(found["jobs"])
        for step in job["steps"]:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@v[\d.]+", step.get("uses", "a/b@v1")), step


def test_the_workflow_passes_actionlint() -> None:
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not installed (go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7)")
    done = subprocess.run(
        [program, str(ROOT / ".github" / "workflows" / "ci.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
