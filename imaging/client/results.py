"""What the client gives back about files, studies and series: immutable, typed values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imaging.errors import ImagingError

FileStatus = Literal["stored", "already_stored", "equivalent", "new_version", "restored", "rejected", "skipped"]


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file that was to be stored."""

    path: Path
    status: FileStatus
    size_bytes: int = 0
    instance: str = ""
    """`studies/{uid}/series/{uid}/instances/{uid}` when it is stored."""

    error: ImagingError | None = None
    """Why it was rejected."""

    note: str = ""
    """Why it was skipped."""

    @property
    def study(self) -> str:
        """`studies/{uid}`; empty when it is not stored."""
        return "/".join(self.instance.split("/")[:2])


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """What became of all files."""

    files: tuple[FileResult, ...]
    seconds: float

    def _with(self, *statuses: FileStatus) -> tuple[FileResult, ...]:
        return tuple(file for file in self.files if file.status in statuses)

    @property
    def stored(self) -> tuple[FileResult, ...]:
        """The files whose instance is durable now, whether it was new or not."""
        return self._with("stored", "already_stored", "equivalent", "new_version", "restored")

    @property
    def rejected(self) -> tuple[FileResult, ...]:
        """The files that were not accepted, each with its error."""
        return self._with("rejected")

    @property
    def skipped(self) -> tuple[FileResult, ...]:
        """The files that were not sent, each with a note."""
        return self._with("skipped")

    @property
    def studies(self) -> tuple[str, ...]:
        """`studies/{uid}` of every study that a stored file belongs to, in the order of arrival."""
        return tuple(dict.fromkeys(file.study for file in self.stored))

    @property
    def size_bytes(self) -> int:
        """Bytes of the stored files."""
        return sum(file.size_bytes for file in self.stored)


@dataclass(frozen=True, slots=True)
class StoreProgress:
    """How far storing is; given to the `progress` function after each file, and while a large one is sent."""

    files_done: int
    files_total: int
    bytes_done: int
    """Of files that have their result, and what is sent of large ones; it may be less after a broken connection."""

    bytes_total: int
    newest: FileResult | None
    """The file that has its result now; None when only more of a large one is sent."""


@dataclass(frozen=True, slots=True)
class Study:
    """A study."""

    name: str
    study_instance_uid: str
    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    study_date: str
    study_time: str
    accession_number: str
    study_id: str
    description: str
    modalities: tuple[str, ...]
    series_count: int
    instance_count: int
    size_bytes: int
    manifest_version: int
    """0 while the study was never complete."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series."""

    name: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    series_number: int | None
    description: str
    body_part_examined: str
    instance_count: int
    frame_count: int
    """0 for a series without pixels."""

    rows: int
    columns: int
    size_bytes: int
    is_derived: bool
    """Made by a run, not received."""
