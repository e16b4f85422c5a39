"""Generate the Python code of the contracts into `imaging/<area>/v1/`.

The generator is pinned (`grpcio-tools` 1.74, which writes code for protobuf 6.31) and older than the runtime, so that
users may run protobuf 6.x or 7.x. `tests/contracts/test_generated_code.py` runs this into a temporary folder and
compares.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from google.rpc import status_pb2

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent


def include_paths() -> list[Path]:
    """Folders with the protos of Google's well-known types and of `google.rpc`, from their wheels."""
    site_packages = Path(status_pb2.__file__).parents[2]
    well_known = Path(str(resources.files("grpc_tools"))) / "_proto"
    return [site_packages, well_known]


def sources() -> list[str]:
    """Our proto files, relative to `protos/`, sorted."""
    return sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "imaging").rglob("*.proto"))


def generate(out: Path) -> None:
    """Write `*_pb2.py`, `*_pb2_grpc.py` and their `.pyi` below `out`."""
    from grpc_tools import protoc  # only the development environment has it

    out.mkdir(parents=True, exist_ok=True)
    plugins = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        *[f"-I{path}" for path in include_paths()],
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *sources(),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its messages stand above")
    for file in out.rglob("imaging/*/v1/*_pb2_grpc.py*"):
        # A file without a service gets an empty gRPC module; it would only mislead.
        if "_service_pb2_grpc" not in file.name:
            file.unlink()
    for package in out.glob("imaging/*/v1"):
        (package / "__init__.py").touch()
        (package.parent / "__init__.py").touch()


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
