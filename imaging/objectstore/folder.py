"""Objects as files of a local folder: written aside, synced, renamed into place, and the folders synced."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imaging.errors import DataLoss, FailedPrecondition, ImagingError, InvalidArgument, Unavailable
from imaging.objectstore.file_aside import FileAside
from imaging.objectstore.folder_sync import DurableFolders
from imaging.objectstore.os_failure import os_failures
from imaging.objectstore.store import Content, ObjectStat, validate_key

_INCOMING = ".incoming"
_SPOOL = ".spool"


class FolderObjectStore:
    """An `ObjectStore` below `root`. Several processes may use it at the same time.

    Unfinished files are removed at the start, but for those that another process may still be writing: what is younger
    than `keep_unfinished`.

    A file system that lies about fsync cannot be helped; one that reports an error is believed: the write fails and
    is never tried again as if it were the same one.
    """

    def __init__(self, root: Path, *, keep_unfinished: timedelta = timedelta(0)) -> None:
        self._root = root.absolute()
        self._incoming = self._root / _INCOMING
        self._spool = self._root / _SPOOL
        for folder in (self._incoming, self._spool):
            folder.mkdir(parents=True, exist_ok=True)
        before = time.time() - keep_unfinished.total_seconds()
        for left_over in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if left_over.stat().st_mtime <= before:
                    left_over.unlink()
        self._process = secrets.token_hex(8)  # more than a process id: those of two containers may be the same
        self._folders = DurableFolders(self._root)
        self._numbers = itertools.count()

    @property
    def spool(self) -> Path:
        """Files here outlive a restart: they belong to uploads that may be resumed."""
        return self._spool

    def put(self, key: str, content: Content) -> None:
        (error,) = self.put_many([(key, content)])
        if error is not None:
            raise error

    def put_many(self, objects: Sequence[tuple[str, Content]]) -> list[ImagingError | None]:
        """Keep many objects as `put` would each, for little more than the disk asks for one; what each failed of.

        All are written before the first is synced: the disk then works on many at a time, and its journal takes them
        together, also in this one thread.
        """
        files = [FileAside(key, self._incoming / f"{self._process}-{next(self._numbers)}") for key, _ in objects]
        for file, (_, content) in zip(files, objects, strict=True):
            file.write(content)
        for file in files:
            file.sync()
        for file in files:
            file.place(self._rename)
        folders = _EachOnce(self._folders.sync)
        for file in files:
            file.enter(folders)
        for file in files:
            file.remove_if_failed()
        return [file.error for file in files]

    def adopt(self, key: str, path: Path) -> None:
        validate_key(key)
        with os_failures("storing an object", self._root):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # The file may have been written long ago; an object is as old as its key, or whoever removes old
                # objects that nothing refers to would take it before its key is recorded.
                os.utime(descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._place(key, path)

    def _place(self, key: str, path: Path) -> None:
        target = self._rename(key, path)
        try:
            self._folders.sync(target.parent)
        except BaseException:
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise

    def _rename(self, key: str, path: Path) -> Path:
        target = self._root / key
        while True:
            self._folders.make(target.parent)
            if os.path.lexists(target):
                raise FailedPrecondition("The object key is taken", where=key, hint="Use a new key.")
            try:
                os.rename(path, target)  # noqa: PTH104 - half the cost of Path.rename, on the hot path
                return target
            except FileNotFoundError:
                if not path.exists():
                    raise
                self._folders.forget(target.parent)  # emptied and removed between the two calls

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        validate_key(key)
        try:
            descriptor = os.open(self._root / key, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            self._require_root()
            raise DataLoss("A stored object is gone", where=key, hint=_RESTORE) from error
        except OSError as error:
            raise Unavailable("A stored object cannot be opened", where=key, hint=str(error.strerror)) from error
        try:
            wanted = os.fstat(descriptor).st_size - offset if length is None else length
            content = os.pread(descriptor, wanted, offset)
            while len(content) < wanted:  # a single pread gives at most 2 GiB
                more = os.pread(descriptor, wanted - len(content), offset + len(content))
                if not more:
                    raise DataLoss(
                        f"A stored object ends {wanted - len(content)} bytes too early", where=key, hint=_RESTORE
                    )
                content += more
        except OSError as error:
            raise DataLoss("A stored object cannot be read", where=key, hint=_RESTORE) from error
        finally:
            os.close(descriptor)
        return content

    def read_at_once(self, key: str, into: memoryview) -> bool:
        validate_key(key)
        try:
            descriptor = os.open(self._root / key, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # What is not in the page cache ends it early; file systems that cannot tell refuse the flag.
            return os.preadv(descriptor, [into], 0, os.RWF_NOWAIT) == len(into)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def stat(self, key: str) -> ObjectStat | None:
        validate_key(key)
        try:
            return _stat(key, (self._root / key).stat())
        except FileNotFoundError:
            self._require_root()
            return None
        except OSError as error:
            raise Unavailable("A stored object cannot be looked at", where=key, hint=str(error.strerror)) from error

    def _require_root(self) -> None:
        """Pass if the folder itself is there: a disk that is not mounted has lost no object."""
        if not self._incoming.is_dir():
            raise Unavailable(
                "The folder of the objects is not there", where=str(self._root), hint="Is its disk mounted?"
            )

    def delete(self, key: str) -> None:
        validate_key(key)
        target = self._root / key
        with os_failures("deleting an object", self._root):
            target.unlink(missing_ok=True)
            self._folders.prune(target.parent)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        top = self._root / validate_key(prefix.rstrip("/")) if prefix else self._root
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = Path(folder, name)
                with suppress(FileNotFoundError, InvalidArgument):  # gone just now; what others may have put there
                    yield _stat(validate_key(path.relative_to(self._root).as_posix()), path.stat())


_RESTORE = "Restore it from a backup, or send the instance again."


def _stat(key: str, status: os.stat_result) -> ObjectStat:
    return ObjectStat(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


class _EachOnce:
    """Syncs each folder once, and tells all that share it the same."""

    def __init__(self, sync: Callable[[Path], None]) -> None:
        self._sync = sync
        self._outcomes: dict[Path, OSError | None] = {}

    def __call__(self, folder: Path) -> None:
        if folder not in self._outcomes:
            self._outcomes[folder] = None
            try:
                self._sync(folder)
            except OSError as error:
                self._outcomes[folder] = error
        outcome = self._outcomes[folder]
        if outcome is not None:
            raise outcome
