"""Files that were not stored, as lines for people: each with its reason, and each way to fix it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from imaging.cli.output import Output
from imaging.client.results import FileResult

_MOST_HINTS = 12
_LONGEST_PATH = 300


def name_if_not_stored(file: FileResult, output: Output) -> None:
    """A line for a file that was rejected or skipped: what and where."""
    if file.error is not None:
        where = f" (at {file.error.where})" if file.error.where else ""
        output.say(f"rejected  {_path_text(file.path)}: {file.error.what}{where}", "red")
    elif file.note:
        output.say(f"skipped   {_path_text(file.path)}: {file.note}", "yellow")


def tell_hints(files: Iterable[FileResult], output: Output) -> None:
    """How to fix the rejected files, the most frequent way first."""
    hints = Counter(file.error.hint for file in files if file.error is not None and file.error.hint)
    for hint, count in hints.most_common(_MOST_HINTS):
        output.say(f"fix for {count} {'file' if count == 1 else 'files'}: {hint}")


def _path_text(path: Path) -> str:
    """The path; the middle of a very long one is left out, for the name at its end tells most."""
    text = str(path)
    half = _LONGEST_PATH // 2
    return text if len(text) <= _LONGEST_PATH else f"{text[:half]} … {text[-half:]}"
