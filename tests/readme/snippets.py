"""The code blocks of the README."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def snippets(language: str) -> list[str]:
    """The code blocks in a language, in the order of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def snippet(language: str, part: str) -> str:
    """The one code block that holds a text."""
    (found,) = [text for text in snippets(language) if part in text]
    return found


def shell_commands(program: str) -> Iterator[list[str]]:
    """The arguments of each call of a program, in shell blocks and between backquotes in the text."""
    lines = [line for block in snippets("sh") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", README.read_text())
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == [program]:
            yield words[1:]
