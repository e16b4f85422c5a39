"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.core

import imaging
from imaging.cli.commands import app
from imaging.cli.exit_codes import ExitCode
from imaging.settings import load_settings
from tests.ct_series import ct_series
from tests.installation.running import running_installation
from tests.readme.snippets import README, shell_commands, snippet

ROOT = README.parent


def test_every_command_is_one_that_the_program_understands() -> None:
    commands = list(shell_commands("imaging"))
    assert len(commands) >= 6
    for arguments in commands:
        command: typer.core.TyperCommand = typer.main.get_command(app)  # type: ignore[assignment]
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        # Parses and checks the arguments; nothing is run.
        command.make_context(command.name, arguments)


def test_every_make_target_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {arguments[0] for arguments in shell_commands("make") if arguments}
    assert named >= {"demo", "test"}
    assert named <= targets


def test_every_file_and_folder_that_is_named_is_there() -> None:
    text = README.read_text()
    table = text.partition("## Code map")[2]
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }
    named |= set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)) | set(re.findall(r"\b[A-Z]+\.md\b", text))
    named |= set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", text))
    missing = [name for name in named if not (ROOT / name.replace("<area>", "storage")).exists()]
    assert not missing


def test_exit_codes_are_those_of_the_program() -> None:
    (told,) = re.findall(r"Exit codes: (.*?130 Ctrl-C)", README.read_text(), re.DOTALL)
    assert [int(number) for number in re.findall(r"\b\d+\b", told)] == [code.value for code in ExitCode]


def test_settings_file_is_valid(tmp_path: Path) -> None:
    (tmp_path / "imaging.toml").write_text(snippet("toml", "data_dir"))
    settings = load_settings(tmp_path / "imaging.toml", env={})
    assert settings.storage.quiet_time_seconds == 60
    assert str(settings.data_dir) == "/var/lib/imaging"


def test_settings_of_the_gateway_are_valid(tmp_path: Path) -> None:
    (tmp_path / "imaging.toml").write_text(snippet("toml", "[gateway]"))
    gateway = load_settings(tmp_path / "imaging.toml", env={}).gateway
    assert gateway.peers["ct-1"].may == {"echo", "store"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder like site-packages with the README's model in it, installed as a wheel is: module and entry point."""
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").touch()
    (site / "my_package" / "bright_voxels.py").write_text(snippet("python", "class BrightVoxels"))
    group, line = snippet("toml", "imaging.models").strip().splitlines()
    assert group == '[project.entry-points."imaging.models"]'
    distribution = site / "my_package-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[imaging.models]\n" + line.replace('"', "") + "\n")
    return site


@pytest.mark.integration
@pytest.mark.xdist_group("installation")
def test_client_and_model_of_the_readme_run_as_they_stand_there(tmp_path: Path, site: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ct-bright.yaml").write_text(snippet("yaml", "bright-voxels"))
    series = ct_series("readme", slices=4, size=32)
    (tmp_path / "path" / "to" / "dicom").mkdir(parents=True)
    for uid, content in series.instances.items():
        (tmp_path / "path" / "to" / "dicom" / f"{uid}.dcm").write_bytes(content)
    (tmp_path / "path" / "to" / "dicom" / "notes.txt").write_text("no image")

    env = {"PYTHONPATH": str(site), "IMAGING_PIPELINE_RECIPES_DIR": str(tmp_path / "recipes")}
    with running_installation(tmp_path / "imaging-data", env) as installation:
        script = snippet("python", "imaging.connect()")
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("IMAGING_")},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "not a DICOM file" in result.stdout
        assert "CT (4, 32, 32)" in result.stdout
        assert "SUCCEEDED" in result.stdout
        with imaging.connect(installation.endpoints) as client:
            (run,) = client.runs.list(series.study)
            assert run.recipe == "ct-bright"
            (finding,) = client.findings(run=run)
            assert (finding.model, finding.unit) == ("bright-voxels", "mL")
            assert client.reports.list(series.study)
