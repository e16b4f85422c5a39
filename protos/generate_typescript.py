"""Generate the TypeScript stubs of the contracts (protobuf-es 2) into `examples/viewer/src/contracts/`.

The generator comes from npm: `npm ci` in `examples/viewer` first. The folder is for others to take as it is.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from generate import PROTOS, ROOT, include_paths, sources

VIEWER = ROOT / "examples" / "viewer"
CONTRACTS = VIEWER / "src" / "contracts"


def generate(out: Path, plugin: Path) -> None:
    """Write `*_pb.ts` below `out`."""
    from grpc_tools import protoc  # only the development environment has it

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        *[f"-I{path}" for path in include_paths()],
        f"--plugin=protoc-gen-es={plugin}",
        f"--es_out={out}",
        "--es_opt=target=ts,import_extension=js",
        *sources(),
        "google/rpc/status.proto",
        "google/rpc/error_details.proto",
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its messages stand above")


if __name__ == "__main__":
    generate(CONTRACTS, VIEWER / "node_modules" / ".bin" / "protoc-gen-es")
    print(f"{len(list(CONTRACTS.rglob('*.ts')))} files in {CONTRACTS.relative_to(ROOT)}")
