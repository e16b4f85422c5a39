"""Quality flags as notes: what holds for every value is said once, what holds for some is numbered."""

from __future__ import annotations

from collections.abc import Iterable

from reporting_svc.content.report_content import Measurement, QualityFlag


def note_text(flag: QualityFlag) -> str:
    """What the reader reads: the reason, else the code."""
    return flag.message or flag.code


def common_notes(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """The notes that every one of the measurements has, in the order of the first."""
    every = list(measurements)
    if not every:
        return ()
    others = [{note_text(flag) for flag in each.flags} for each in every[1:]]
    texts = dict.fromkeys(note_text(flag) for flag in every[0].flags)
    return tuple(text for text in texts if text and all(text in other for other in others))


class NumberedNotes:
    """Numbers the notes of single values; equal ones get one number."""

    def __init__(self, said_already: Iterable[str]) -> None:
        self._said = frozenset(said_already)
        self._numbers: dict[str, int] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """The notes; the first has number 1."""
        return tuple(self._numbers)

    def marks(self, measurement: Measurement) -> tuple[int, ...]:
        """The numbers of the measurement's own notes, rising."""
        texts = {note_text(flag) for flag in measurement.flags} - self._said - {""}
        ordered = [text for text in map(note_text, measurement.flags) if text in texts]
        return tuple(sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in ordered}))
