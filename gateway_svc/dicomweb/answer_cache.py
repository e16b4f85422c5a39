"""Answers that were made before, by what they were made from."""

from __future__ import annotations

from collections import OrderedDict

Key = tuple[str, ...]
"""All that the answer depends on: an ETag, and what was asked."""


class AnswerCache:
    """The answers used last.

    Parameters
    ----------
    most_bytes
        Of all that are kept.
    most_bytes_of_one
        Larger ones are not kept.
    """

    def __init__(self, most_bytes: int, most_bytes_of_one: int) -> None:
        self.most_bytes_of_one = most_bytes_of_one
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._answers: OrderedDict[Key, bytes] = OrderedDict()

    def get(self, key: Key) -> bytes | None:
        """The bytes of an answer, if they are kept."""
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: Key, answer: bytes) -> None:
        """Keep an answer, and let go of those that were not used for longest."""
        if len(answer) > self.most_bytes_of_one:
            return
        self._size_bytes += len(answer) - len(self._answers.pop(key, b""))
        self._answers[key] = answer
        while self._size_bytes > self._most_bytes:
            _, dropped = self._answers.popitem(last=False)
            self._size_bytes -= len(dropped)
