"""YAML with the line of every value, so that an error can point at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from imaging.errors import SettingsInvalid

Path = tuple[str | int, ...]
"""Keys and list positions (counted from 0) from the root to a value."""

MAX_CHARACTERS = 64 * 1024
"""A recipe is a page of text; more is another file by mistake."""


@dataclass(frozen=True, slots=True)
class LocatedYaml:
    """The one document of a YAML text."""

    file: str
    data: Any
    lines: Mapping[Path, int]
    """The line, counted from 1, of each value, by its path."""

    def where(self, path: Path) -> str:
        """`file:line` of the value at `path`, or of the nearest one above it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"


def load_located_yaml(text: str, file: str) -> LocatedYaml:
    """The document in `text`, made of plain dicts, lists and scalars.

    Raises
    ------
    SettingsInvalid
        If it is not one YAML document, has a key twice, or uses anchors and aliases (which a few characters can blow up
        to gigabytes).
    """
    if len(text) > MAX_CHARACTERS:
        raise SettingsInvalid(
            f"The file has {len(text)} characters, more than the {MAX_CHARACTERS} that are read",
            where=file,
            hint="Check that it is a recipe.",
        )
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = f":{event.start_mark.line + 1}" if event.start_mark is not None else ""
                raise SettingsInvalid(
                    "YAML aliases are not read here", where=f"{file}{line}", hint="Write the value out in full."
                )
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SettingsInvalid(
            f"The file is not valid YAML: {error.problem or error.context}",
            where=f"{file}:{mark.line + 1}" if mark is not None else file,
            hint="Check indentation, colons and brackets there and on the line before.",
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsInvalid("The file is not valid YAML", where=file, hint="Write it as plain UTF-8 text.") from error
    if node is None:
        raise SettingsInvalid("The file is empty", where=file, hint="Write a recipe, or remove the file.")
    return LocatedYaml(file, data, dict(_lines(node, (), file)))


def _lines(node: yaml.Node, path: Path, file: str) -> Iterator[tuple[Path, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _lines(item, (*path, position), file)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise SettingsInvalid(
                    f"The key {key.value!r} stands twice", where=f"{file}:{line}", hint="Keep one of them."
                )
            seen.add(key.value)
            yield from _lines(value, (*path, key.value), file)
            yield (*path, key.value), line
