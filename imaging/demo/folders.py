"""Folders of results: names without patient data, and what an earlier demonstration left."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from imaging.client.results import Study
from imaging.errors import InvalidArgument

SUMMARY_FILE = "summary.json"
WORK_FOLDER = ".data"
"""Below the output folder: what the services keep while the demonstration runs."""


def study_folder(study: Study) -> str:
    """A short name for a study: its first modality and 8 hex digits of a hash of its UID."""
    # What a run stores besides must not name the study.
    received = [modality for modality in study.modalities if modality not in ("SEG", "SR", "DOC")]
    modality = next(iter(received or study.modalities), "study")
    safe = "".join(character for character in modality.lower() if character.isascii() and character.isalnum())
    return f"{safe or 'study'}-{hashlib.sha256(study.study_instance_uid.encode()).hexdigest()[-8:]}"


def prepare_output(out: Path) -> None:
    """Make the output folder empty of what an earlier demonstration wrote; nothing else is ever deleted.

    Raises
    ------
    InvalidArgument
        If there is something in it that no demonstration wrote.
    """
    try:
        if out.exists() and not out.is_dir():
            raise InvalidArgument("The output is not a folder", where=str(out), hint="Choose another with --out.")
        out.mkdir(parents=True, exist_ok=True)
        ours = {SUMMARY_FILE, WORK_FOLDER, *_earlier_folders(out)}
        foreign = sorted(path.name for path in out.iterdir() if path.name not in ours)
        if foreign:
            raise InvalidArgument(
                f"The output folder holds other files, such as {foreign[0]}",
                where=str(out),
                hint="Choose an empty or new folder with --out; nothing of yours is deleted.",
            )
        for path in out.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise InvalidArgument(
            f"The output folder cannot be written to: {error.strerror}",
            where=str(out),
            hint="Choose another with --out.",
        ) from None


def _earlier_folders(out: Path) -> set[str]:
    try:
        summary = json.loads((out / SUMMARY_FILE).read_text())
        return {str(study["folder"]) for study in summary["studies"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
