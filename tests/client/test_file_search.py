"""What is found in folders, and what is said about files that are not sent."""

from __future__ import annotations

import os
from pathlib import Path

import pydicom.data
import pytest

from imaging.client.file_search import FoundFile, find_files
from imaging.errors import InvalidArgument, NotDicom, NotFound

TEST_FILES = Path(pydicom.data.__file__).parent / "test_files"
PART10 = bytes(128) + b"DICM" + bytes(100)


def refusals(found: list[FoundFile]) -> dict[str, str]:
    return {
        file.path.name: (file.refusal.error.reason if file.refusal.error else file.refusal.status)
        for file in found
        if file.refusal is not None
    }


def test_folders_are_walked_in_the_order_of_names_and_files_come_once(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "b/1.dcm", "a/x/3.dcm", "c.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PART10)
    found = list(find_files([tmp_path, tmp_path / "c.dcm", tmp_path / "b"]))
    assert [str(file.path.relative_to(tmp_path)) for file in found] == ["a/x/3.dcm", "b/1.dcm", "b/2.dcm", "c.dcm"]
    assert all(file.refusal is None for file in found)


def test_every_kind_of_bad_file_has_its_own_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "short.dcm").write_bytes(b"DICM")
    (tmp_path / "zeros.dcm").write_bytes(bytes(131))
    (tmp_path / "notes.txt").write_text("not an image " * 50)
    (tmp_path / "good.dcm").write_bytes(PART10)
    (tmp_path / "nowhere.dcm").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    found = list(find_files([tmp_path, tmp_path / "missing.dcm"]))
    assert refusals(found) == {
        "empty.dcm": NotDicom.reason,
        "short.dcm": NotDicom.reason,
        "zeros.dcm": NotDicom.reason,
        "notes.txt": NotDicom.reason,
        "nowhere.dcm": "skipped",
        "pipe": "skipped",
        "missing.dcm": NotFound.reason,
    }


def test_headerless_files_pass_only_when_asked_for() -> None:
    path = TEST_FILES / "no_meta.dcm"
    (refused,) = find_files([path])
    assert refused.refusal is not None
    assert "--raw" in str(refused.refusal.error)
    (passed,) = find_files([path], headerless=True)
    assert passed.refusal is None


def test_every_dicomdir_is_skipped_with_a_note_whatever_its_name() -> None:
    found = list(find_files([TEST_FILES / "dicomdirtests"]))
    skipped = [file for file in found if file.refusal is not None and file.refusal.status == "skipped"]
    assert {"DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-empty.dcm"} <= {file.path.name for file in skipped}
    assert all("DICOMDIR" in file.path.name for file in skipped)
    assert all(file.refusal and "index of a medium" in file.refusal.note for file in skipped)


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "image.dcm").write_bytes(PART10)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = list(find_files([tmp_path]))
    assert [file.path.name for file in found if file.refusal is None] == ["image.dcm"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file_and_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "secret.dcm").write_bytes(PART10)
    (tmp_path / "secret.dcm").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    found = list(find_files([tmp_path]))
    assert refusals(found) == {"secret.dcm": InvalidArgument.reason, "closed": InvalidArgument.reason}
