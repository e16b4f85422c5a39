"""`python -m tests.objectstore.build_minio`: MinIO from its source, once, where Go is there.

MinIO is published as source alone. Without Go, or when it cannot be built in time, the tests that want it skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.tool_folder import tool_folder

SOURCE = "github.com/minio/minio@latest"
SECONDS = 900


def main() -> int:
    """Build it unless it is there; 0 whatever comes of it, with a sentence that tells."""
    folder = tool_folder()
    if (folder / "minio").exists() or shutil.which("minio"):
        sys.stdout.write("MinIO is there\n")
        return 0
    if shutil.which("go") is None:
        sys.stdout.write("Go is not installed, so MinIO is not built, and nothing is tried on it\n")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"building {SOURCE} into {folder}\n")
    sys.stdout.flush()
    try:
        built = subprocess.run(
            ["go", "install", SOURCE], env={**os.environ, "GOBIN": str(folder)}, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        sys.stdout.write(f"MinIO was not built within {SECONDS} s, so nothing is tried on it\n")
        return 0
    if built.returncode:
        sys.stdout.write("MinIO could not be built, so nothing is tried on it\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
