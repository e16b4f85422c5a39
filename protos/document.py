"""Write the API reference, `docs/api/<area>.md`, from the contracts and their comments."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

sys.path.insert(0, str(Path(__file__).resolve().parent))

from generate import PROTOS, ROOT, include_paths, sources

API = ROOT / "docs" / "api"

_FILE_SERVICE, _FILE_MESSAGE, _FILE_ENUM, _FILE_PACKAGE, _FILE_SYNTAX = 6, 4, 5, 2, 12
_MEMBER, _NESTED_MESSAGE, _NESTED_ENUM = 2, 3, 4
"""Field numbers of descriptor.proto, of which the paths of comments are made."""


def references() -> dict[str, str]:
    """The text of each file of the reference, by its name."""
    by_package: dict[str, list[FileDescriptorProto]] = {}
    for file in _described():
        by_package.setdefault(file.package, []).append(file)
    return {f"{_area(package)}.md": _page(package, files) for package, files in sorted(by_package.items())}


def _described() -> list[FileDescriptorProto]:
    from grpc_tools import protoc  # only the development environment has it

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "contracts"
        includes = [f"-I{path}" for path in (PROTOS, *include_paths())]
        command = ["protoc", *includes, "--include_source_info", f"--descriptor_set_out={out}", *sources()]
        if protoc.main(command) != 0:
            raise SystemExit("protoc failed; its messages stand above")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def _area(package: str) -> str:
    return package.split(".")[1]


def _page(package: str, files: list[FileDescriptorProto]) -> str:
    lines = [f"# {package}", "", f"Made from `protos/imaging/{_area(package)}/` by `make protos`.", ""]
    for part in (_services, _types):
        for file in files:
            lines += part(file, _comments(file))
    return "\n".join(lines).rstrip() + "\n"


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {tuple(place.path): place.leading_comments for place in file.source_code_info.location}


def _services(file: FileDescriptorProto, comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    for at, service in enumerate(file.service):
        yield from [f"## {service.name}", "", *_paragraphs(comments.get((_FILE_SERVICE, at), "")), ""]
        yield from _methods(service, (_FILE_SERVICE, at), comments, file.package)


def _methods(
    service: ServiceDescriptorProto, path: tuple[int, ...], comments: dict[tuple[int, ...], str], package: str
) -> Iterator[str]:
    for at, method in enumerate(service.method):
        asked = ("stream of " if method.client_streaming else "") + _linked(method.input_type, package)
        given = ("stream of " if method.server_streaming else "") + _linked(method.output_type, package)
        yield from [f"### {service.name}.{method.name}", "", f"{asked} → {given}", ""]
        yield from [*_paragraphs(comments.get((*path, _MEMBER, at), "")), ""]


def _types(file: FileDescriptorProto, comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    for at, message in enumerate(file.message_type):
        yield from _message(message, message.name, (_FILE_MESSAGE, at), comments, file.package)
    for at, enum in enumerate(file.enum_type):
        yield from _enum(enum, enum.name, (_FILE_ENUM, at), comments)


def _message(
    message: DescriptorProto, name: str, path: tuple[int, ...], comments: dict[tuple[int, ...], str], package: str
) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield from [f"## {name}", "", *_paragraphs(comments.get(path, "")), ""]
    if message.field:
        yield from ["| field | type | |", "|---|---|---|"]
        for at, field in enumerate(message.field):
            told = _one_line(comments.get((*path, _MEMBER, at), ""))
            yield f"| `{field.name}` ({field.number}) | {_type(field, message, package)} | {told} |"
        yield ""
    for at, nested in enumerate(message.nested_type):
        yield from _message(nested, f"{name}.{nested.name}", (*path, _NESTED_MESSAGE, at), comments, package)
    for at, enum in enumerate(message.enum_type):
        yield from _enum(enum, f"{name}.{enum.name}", (*path, _NESTED_ENUM, at), comments)


def _enum(
    enum: EnumDescriptorProto, name: str, path: tuple[int, ...], comments: dict[tuple[int, ...], str]
) -> Iterator[str]:
    yield from [f"## {name}", "", *_paragraphs(comments.get(path, "")), "", "| value | |", "|---|---|"]
    for at, value in enumerate(enum.value):
        yield f"| `{value.name}` ({value.number}) | {_one_line(comments.get((*path, _MEMBER, at), ''))} |"
    yield ""


def _type(field: FieldDescriptorProto, message: DescriptorProto, package: str) -> str:
    if field.type_name:
        entry = next((n for n in message.nested_type if n.options.map_entry and field.type_name.endswith(n.name)), None)
        if entry is not None:
            key, value = (_type(each, entry, package) for each in entry.field)
            return f"map of {key} to {value}"
        told = _linked(field.type_name, package)
    else:
        told = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {told}"
    return f"optional {told}" if field.proto3_optional else told


def _linked(full_name: str, package: str) -> str:
    name = full_name.lstrip(".")
    if not name.startswith("imaging."):
        return name
    _, area, _, local = name.split(".", 3)
    page = "" if name.startswith(f"{package}.") else f"{area}.md"
    return f"[{local}]({page}#{local.lower().replace('.', '')})"


def _paragraphs(comment: str) -> list[str]:
    return [line.removeprefix(" ").rstrip() for line in comment.strip("\n").splitlines()]


def _one_line(comment: str) -> str:
    return " ".join(comment.split()).replace("|", r"\|")


def write() -> None:
    """Write the reference anew."""
    API.mkdir(parents=True, exist_ok=True)
    for old in API.glob("*.md"):
        old.unlink()
    for name, text in references().items():
        (API / name).write_text(text)


if __name__ == "__main__":
    write()
