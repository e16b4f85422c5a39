"""What only the folder back end can show: sync order, failures of the disk, left-over files."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from imaging.errors import StorageFull, Unavailable
from imaging.objectstore import FolderObjectStore
from imaging.objectstore.folder_sync import DurableFolders


def failing(code: int) -> object:
    def fsync(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    return fsync


@pytest.mark.parametrize(("code", "expected"), [(errno.ENOSPC, StorageFull), (errno.EIO, Unavailable)])
def test_a_failed_fsync_fails_the_put_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[Exception]
) -> None:
    store = FolderObjectStore(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing(code))
        with pytest.raises(expected):
            store.put("a/b", b"x")
    assert store.stat("a/b") is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    store.put("a/b", b"x")


def test_a_failed_fsync_of_the_folder_takes_the_object_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderObjectStore(tmp_path)
    store.put("a/first", b"x")
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(errno.EIO, "I/O error")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(Unavailable):
            store.put("a/second", b"x")
    assert store.stat("a/second") is None


def test_file_then_folder_are_synced_before_put_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderObjectStore(tmp_path)
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{descriptor}").readlink(), tmp_path))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.put("studies/1/a", b"x")
    assert synced[0].startswith(".incoming/")
    assert synced[1:] == [".", "studies", "studies/1"]
    synced.clear()
    store.put("studies/1/b", b"x")
    assert synced[1:] == ["studies/1"]


def test_unfinished_files_are_removed_at_the_start_and_spooled_ones_stay(tmp_path: Path) -> None:
    FolderObjectStore(tmp_path)
    (tmp_path / ".incoming" / "half").write_bytes(b"x")
    (tmp_path / ".spool" / "part").write_bytes(b"x")
    store = FolderObjectStore(tmp_path)
    assert not (tmp_path / ".incoming" / "half").exists()
    assert (store.spool / "part").exists()
    assert list(store.list()) == []


def test_syncs_of_one_folder_that_wait_share_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = DurableFolders(tmp_path)
    entered, go_on = threading.Event(), threading.Event()
    count = 0

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        entered.set()
        go_on.wait()

    monkeypatch.setattr(os, "fsync", fsync)
    first = threading.Thread(target=folders.sync, args=(tmp_path,))
    first.start()
    entered.wait()
    others = [threading.Thread(target=folders.sync, args=(tmp_path,)) for _ in range(10)]
    for thread in others:
        thread.start()
    while tmp_path not in folders._next:
        pass
    go_on.set()
    for thread in (first, *others):
        thread.join()
    assert 2 <= count <= 11


def test_what_the_file_system_cannot_tell_is_neither_there_nor_gone(tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path)
    store.put("study/a", b"content")
    (tmp_path / "study").rename(tmp_path / "elsewhere")
    (tmp_path / "study").write_bytes(b"")  # as a damaged file system has it
    for call in (store.stat, store.read):
        with pytest.raises(Unavailable) as raised:
            call("study/a")
        assert raised.value.where == "study/a"
        assert raised.value.hint == "Not a directory"
