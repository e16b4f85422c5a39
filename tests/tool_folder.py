"""Where programs are kept that tests use and no package brings: beside the user's other caches, outside of the tree."""

from __future__ import annotations

import os
from pathlib import Path


def tool_folder() -> Path:
    """`TOOLS_DIR`, or a folder below the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TOOLS_DIR") or cache / "imaging-pipeline" / "tools")
