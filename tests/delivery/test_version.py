"""The version stands in pyproject.toml; what must repeat it says the same, and a tag is put on nothing else."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version_is_a_semantic_one_and_the_one_that_is_installed() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert metadata.version("imaging-pipeline") == VERSION, "make setup"


def test_chart_and_compose_file_name_the_image_of_this_version() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "imaging" / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    images = re.findall(r"imaging-pipeline:([\w.-]+)", (ROOT / "compose.yaml").read_text())
    assert set(images) == {VERSION}
    packages = re.findall(r"imaging-(\d[\w.]*)\.tgz", (ROOT / "charts" / "imaging" / "README.md").read_text())
    assert set(packages) == {VERSION}


def test_make_gives_the_version_to_the_image() -> None:
    told = subprocess.run(["make", "-n", "image"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"VERSION={VERSION} " in told
    assert f"-t localhost/imaging-pipeline:{VERSION} " in told


@pytest.mark.parametrize("image", ["ghcr.io/house/imaging:1.2.3", "registry.example.org:5000/imaging:1.2.3"])
def test_make_signs_the_image_by_its_name_and_digest(image: str) -> None:
    told = subprocess.run(
        ["make", "-n", "sign", f"IMAGE={image}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert told.count(f" {image.removesuffix(':1.2.3')}@") == 2


def test_every_version_that_was_changed_into_stands_in_order() -> None:
    told = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert told[0][0] in ("Unreleased", VERSION)
    released = [tuple(map(int, name.split("."))) for name, _ in told if name != "Unreleased"]
    assert released == sorted(released, reverse=True)
    assert all(re.fullmatch(r" - \d{4}-\d{2}-\d{2}", date) for name, date in told if name != "Unreleased")


def test_a_tag_names_the_version_whose_changes_are_told() -> None:
    found = subprocess.run(
        ["git", "describe", "--tags", "--exact-match", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("this commit has no tag")
    assert found.stdout.strip() == f"v{VERSION}"
    assert f"\n## [{VERSION}] - " in (ROOT / "CHANGELOG.md").read_text()
    assert f"\n## {VERSION}\n" in (ROOT / "charts" / "imaging" / "UPGRADING.md").read_text()
