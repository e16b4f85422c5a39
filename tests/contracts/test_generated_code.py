"""The generated code is what the pinned generator makes of the contracts today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_code_is_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "protos" / "generate.py", tmp_path], check=True, capture_output=True)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*_pb2*.py*")}
    kept = {
        path.relative_to(ROOT): path.read_bytes()
        for path in (ROOT / "imaging").glob("*/v1/*_pb2*.py*")
        if "__pycache__" not in path.parts
    }
    assert made.keys() == kept.keys()
    stale = [str(name) for name, content in made.items() if kept[name] != content]
    assert not stale, f"run `make protos`: {stale}"


def test_generated_code_is_made_for_protobuf_6_so_that_6_and_7_both_serve() -> None:
    """A runtime takes generated code of its own major version and of the one before."""
    for file in (ROOT / "imaging").glob("*/v1/*_pb2.py"):
        made_for = re.search(r"# Protobuf Python Version: (\d+)", file.read_text())
        assert made_for is not None
        assert made_for[1] == "6", file
