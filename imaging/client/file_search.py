"""Files to store: found in folders, and looked at briefly before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imaging.client.results import FileResult
from imaging.errors import InvalidArgument, NotDicom, NotFound

_MEDIA_STORAGE_DIRECTORY: Final = b"1.2.840.10008.1.3.10"
_LOOKED_AT_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that looks like DICOM, or the reason why it will not be sent."""

    path: Path
    size_bytes: int
    refusal: FileResult | None = None


def find_files(paths: Iterable[Path], *, headerless: bool = False) -> Iterator[FoundFile]:
    """Every file at or below the paths, each once and folders in the order of their names.

    Links are followed; a folder that was walked already, by whichever link, is not walked again.

    Parameters
    ----------
    headerless
        Let files without preamble and file meta pass.
    """
    seen_folders: set[tuple[int, int]] = set()
    seen_files: set[Path] = set()
    for path in paths:
        if not os.path.lexists(path):
            yield _refused(path, NotFound("There is no such file or folder", hint="Check the path."))
            continue
        for file in _below(path, seen_folders):
            if isinstance(file, FoundFile):
                yield file
            elif (key := file.absolute()) not in seen_files:
                seen_files.add(key)
                yield _look_at(file, headerless=headerless)


def _below(path: Path, seen: set[tuple[int, int]]) -> Iterator[Path | FoundFile]:
    open_paths = [path]
    while open_paths:
        current = open_paths.pop()
        try:
            if not current.is_dir():
                yield current
                continue
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            children = sorted(current.iterdir(), reverse=True)
        except OSError as error:
            yield _refused(current, _unreadable(error))
            continue
        open_paths.extend(children)


def _look_at(path: Path, *, headerless: bool) -> FoundFile:
    try:
        if not path.is_file():
            kind = "a link to nothing" if path.is_symlink() else "not a regular file"
            return FoundFile(path, 0, FileResult(path, "skipped", note=f"It is {kind}."))
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_LOOKED_AT_BYTES)
    except OSError as error:
        return _refused(path, _unreadable(error))
    if path.name.upper() == "DICOMDIR" or (head[128:132] == b"DICM" and _MEDIA_STORAGE_DIRECTORY in head[132:]):
        note = "It is a DICOMDIR, the index of a medium: the files that it names are stored by themselves."
        return FoundFile(path, size, FileResult(path, "skipped", size, note=note))
    if size == 0:
        return _refused(path, NotDicom("The file is empty", hint="Send it again from its source."))
    if head[128:132] != b"DICM" and not headerless:
        return _refused(
            path,
            NotDicom(
                "It is not a DICOM file: there is no DICM prefix",
                where="byte 128",
                hint="A data set without preamble and file meta can be stored with --raw SYNTAX.",
            ),
            size,
        )
    return FoundFile(path, size)


def _unreadable(error: OSError) -> InvalidArgument:
    reason = error.strerror or type(error).__name__
    return InvalidArgument(f"It cannot be read: {reason}", hint="Check that you may read it.")


def _refused(path: Path, error: InvalidArgument | NotFound, size: int = 0) -> FoundFile:
    return FoundFile(path, size, FileResult(path, "rejected", size, error=error))
