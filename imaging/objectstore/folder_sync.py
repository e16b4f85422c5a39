"""Folders made and synced durably, with concurrent syncs of one folder shared."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_REMEMBERED = 10_000
"""Folders known to be durable; forgetting one costs a few system calls, not safety."""


@dataclass(slots=True)
class _Turn:
    """Callers of one coming fsync: all have made their change before it starts."""

    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class DurableFolders:
    """Makes folders below `root` so that they survive a power cut, and syncs changes of their entries."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._durable: dict[Path, None] = {}
        self._running: dict[Path, threading.Lock] = {}
        self._next: dict[Path, _Turn] = {}

    def make(self, folder: Path) -> None:
        """Make `folder` and its parents up to the root; each new entry is synced before this returns."""
        if folder == self._root or folder in self._durable:
            return
        self.make(folder.parent)
        try:
            folder.mkdir()
        except FileExistsError:
            pass
        except FileNotFoundError:  # the parent was pruned meanwhile
            self.forget(folder.parent)
            self.make(folder)
            return
        try:
            self.sync(folder.parent)
        except OSError:
            # A second sync might well succeed and prove nothing: the entry is made anew by whoever needs it.
            with suppress(OSError):
                folder.rmdir()
            raise
        with self._lock:
            self._durable[folder] = None
            while len(self._durable) > _REMEMBERED:
                del self._durable[next(iter(self._durable))]

    def forget(self, folder: Path) -> None:
        """No longer take `folder` for granted."""
        with self._lock:
            self._durable.pop(folder, None)

    def prune(self, folder: Path) -> None:
        """Remove `folder` and its parents below the root as far as they are empty."""
        while folder != self._root and self._root in folder.parents:
            self.forget(folder)
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def sync(self, folder: Path) -> None:
        """Return when the entries that `folder` has now are on disk.

        A call that comes while an fsync of the folder runs waits for the next one, which it shares with all others
        that came meanwhile: many instances of one series cost few fsyncs of its folder.

        Raises
        ------
        OSError
            If the fsync failed; every caller that shares it gets this.
        """
        with self._lock:
            turn = self._next.get(folder)
            leading = turn is None
            if turn is None:
                turn = self._next[folder] = _Turn()
            running = self._running.setdefault(folder, threading.Lock())
        if not leading:
            turn.done.wait()
            if turn.error is not None:
                raise turn.error
            return
        with running:
            with self._lock:
                del self._next[folder]
            try:
                _fsync(folder)
            except BaseException as error:
                turn.error = error
                raise
            finally:
                turn.done.set()
        with self._lock:
            if folder not in self._next and not running.locked():
                self._running.pop(folder, None)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
