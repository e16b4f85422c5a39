"""DICOM JSON models that were built before, by object key: an object never changes, so neither does its model."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JsonModel:
    """The model of one object, UTF-8, and the tags whose values were too large for it."""

    content: bytes
    left_out: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return len(self.content) + 256


class ModelCache:
    """The models used last, up to a number of bytes. Used by any thread."""

    def __init__(self, most_bytes: int = 32 * 1024 * 1024) -> None:
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._models: OrderedDict[str, JsonModel] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, object_key: str) -> JsonModel | None:
        """The model of an object, if it is kept."""
        with self._lock:
            model = self._models.get(object_key)
            if model is not None:
                self._models.move_to_end(object_key)
            return model

    def put(self, object_key: str, model: JsonModel) -> None:
        """Keep a model, and let go of those that were not used for longest."""
        if model.size_bytes > self._most_bytes // 8:
            return
        with self._lock:
            old = self._models.pop(object_key, None)
            self._models[object_key] = model
            self._size_bytes += model.size_bytes - (old.size_bytes if old is not None else 0)
            while self._size_bytes > self._most_bytes:
                _, dropped = self._models.popitem(last=False)
                self._size_bytes -= dropped.size_bytes
