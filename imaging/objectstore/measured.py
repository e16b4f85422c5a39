"""Any object store, with the time of each operation measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imaging.objectstore.store import Content, ObjectStat, ObjectStore
from imaging.telemetry.durations import Durations


class MeasuredObjectStore:
    """An `ObjectStore` that does what another does, and times it.

    Parameters
    ----------
    store
        The one that does the work.
    kind
        `folder` or `s3`; an attribute of the metric.
    """

    def __init__(self, store: ObjectStore, kind: str) -> None:
        self._store = store
        self._durations = Durations(
            "imaging.objectstore.operation.duration", "Time that operations of the object store took.", store=kind
        )

    @property
    def spool(self) -> Path:
        """As the store says."""
        return self._store.spool

    def put(self, key: str, content: Content) -> None:
        """As the store does."""
        with self._durations.of("put"):
            self._store.put(key, content)

    def adopt(self, key: str, path: Path) -> None:
        """As the store does."""
        with self._durations.of("adopt"):
            self._store.adopt(key, path)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """As the store does."""
        with self._durations.of("read"):
            return self._store.read(key, offset, length)

    def read_at_once(self, key: str, into: memoryview) -> bool:
        """As the store does."""
        with self._durations.of("read_at_once"):
            return self._store.read_at_once(key, into)

    def stat(self, key: str) -> ObjectStat | None:
        """As the store does."""
        with self._durations.of("stat"):
            return self._store.stat(key)

    def delete(self, key: str) -> None:
        """As the store does."""
        with self._durations.of("delete"):
            self._store.delete(key)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """As the store does; not timed, since its caller decides how fast it goes."""
        return self._store.list(prefix)
