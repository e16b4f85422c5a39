"""An instance that has arrived whole and was examined: structure, digests, and the rows that it would become."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from imaging.database import clock
from imaging.dicom.byte_source import Buffer
from imaging.dicom.pixel_description import PixelDescription
from storage_svc.ingest.examine import Examined, mapped
from storage_svc.ingest.origin import OriginOf
from storage_svc.intake.arena import Slot
from storage_svc.keeping.object_check import OK
from storage_svc.names import Name

Content = Slot | Path
"""The bytes of an object: in the arena, or in a spooled file."""


# Random once a process and counted within it: asking the system for random bytes each time lets go of the interpreter
# lock, and getting it back costs the event loop more than all else of an instance.
_PROCESS = secrets.token_hex(8)
_NUMBERS = itertools.count(1)


def next_object_id() -> str:
    """A part of an object key that was never used before and never will be."""
    return f"{_PROCESS}{next(_NUMBERS):06x}"


@dataclass(frozen=True)
class Arrival:
    """All that is known of the instance before anything was asked of the index."""

    content: Content
    examined: Examined
    origin: OriginOf
    source: str
    traceparent: str
    kept_key: str = ""
    """The key of an object that is kept already; empty for what has just arrived."""

    @property
    def name(self) -> Name:
        """Its resource name."""
        examined = self.examined
        return Name(examined.study_instance_uid, examined.series_instance_uid, examined.sop_instance_uid)

    @cached_property
    def object_key(self) -> str:
        """A readable key that was never used before; the UIDs in it were checked by the scanner.

        The objects of a series share a folder: one of its own would cost each of them a `mkdir` and an unshared fsync.
        """
        examined = self.examined
        return self.kept_key or (
            f"studies/{examined.study_instance_uid}/{examined.series_instance_uid}/{examined.sop_instance_uid}"
            f"_{next_object_id()}.dcm"
        )

    @cached_property
    def time(self) -> int:
        """When it was examined."""
        return clock.now()

    def study_columns(self) -> dict[str, str]:
        """Attributes of patient and study."""
        text = self._text
        return {
            "patient_id": text("PatientID"),
            "issuer_of_patient_id": text("IssuerOfPatientID"),
            "patient_name": text("PatientName"),
            "patient_birth_date": text("PatientBirthDate"),
            "patient_sex": text("PatientSex"),
            "study_date": text("StudyDate"),
            "study_time": text("StudyTime"),
            "accession_number": text("AccessionNumber"),
            "study_id": text("StudyID"),
            "study_description": text("StudyDescription"),
            "referring_physician_name": text("ReferringPhysicianName"),
        }

    def series_columns(self) -> dict[str, Any]:
        """Attributes of the series, as its first instance tells them."""
        text, examined = self._text, self.examined
        return {
            "modality": text("Modality"),
            "series_number": self._integer("SeriesNumber"),
            "series_description": text("SeriesDescription"),
            "series_date": text("SeriesDate"),
            "series_time": text("SeriesTime"),
            "body_part_examined": text("BodyPartExamined"),
            "laterality": text("Laterality"),
            "frame_of_reference_uid": text("FrameOfReferenceUID"),
            "manufacturer": text("Manufacturer"),
            "manufacturer_model_name": text("ManufacturerModelName"),
            "protocol_name": text("ProtocolName"),
            "procedure_step_start_date": text("PerformedProcedureStepStartDate"),
            "procedure_step_start_time": text("PerformedProcedureStepStartTime"),
            "rows": examined.rows,
            "columns": examined.columns,
            **self.origin.columns,
            "create_time": self.time,
        }

    @cached_property
    def instance_columns(self) -> dict[str, Any]:
        """The row of the instance, but for version and origin."""
        examined = self.examined
        return {
            "sop_instance_uid": examined.sop_instance_uid,
            "study_instance_uid": examined.study_instance_uid,
            "series_instance_uid": examined.series_instance_uid,
            "sop_class_uid": examined.sop_class_uid,
            "instance_number": self._integer("InstanceNumber"),
            "image_type": self.image_type,
            "content_date": self._text("ContentDate"),
            "content_time": self._text("ContentTime"),
            "acquisition_number": self._integer("AcquisitionNumber"),
            "rows": examined.rows,
            "columns": examined.columns,
            "number_of_frames": examined.number_of_frames,
            "bits_allocated": examined.bits_allocated,
            "object_key": self.object_key,
            "transfer_syntax_uid": examined.transfer_syntax_uid,
            "size_bytes": examined.size_bytes,
            "data_set_sha256": examined.data_set_sha256,
            "object_crc32c": examined.object_crc32c,
            "warnings": examined.warnings,
            "create_time": self.time,
            "purge_time": None,
            "deleted_level": 0,
            "condition": OK,
        }

    def object_columns(self, version: int) -> dict[str, Any]:
        """The row of the kept object; version 0 means quarantine."""
        examined = self.examined
        return {
            "object_key": self.object_key,
            "sop_instance_uid": examined.sop_instance_uid,
            "study_instance_uid": examined.study_instance_uid,
            "version": version,
            "size_bytes": examined.size_bytes,
            "data_set_sha256": examined.data_set_sha256,
            "data_set_offset": examined.data_set_offset,
            "header_end": examined.header_end,
            "inflated": examined.inflated,
            "transfer_syntax_uid": examined.transfer_syntax_uid,
            "pixels": examined.pixels,
            "frames": examined.frames,
            "object_crc32c": examined.object_crc32c,
            "piece_checksums": examined.piece_checksums,
            "source": self.source,
            "traceparent": self.traceparent,
            "create_time": self.time,
            "verify_time": self.time,
            "condition": OK,
        }

    @property
    def image_type(self) -> str:
        """Image Type joined by backslashes."""
        value = self.examined.attributes.get("ImageType")
        return "\\".join("" if part is None else str(part) for part in value) if isinstance(value, list) else ""

    def _text(self, keyword: str) -> str:
        value = self.examined.attributes.get(keyword)
        return value if isinstance(value, str) else ""

    def _integer(self, keyword: str) -> int | None:
        value = self.examined.attributes.get(keyword)
        return value if isinstance(value, int) else None


def pixels_of(packed: str) -> tuple[PixelDescription, int, str]:
    """The description that `pixels_json` packed, and tag and VR of the pixel data element."""
    facts = json.loads(packed)
    tag, vr = facts.pop("tag"), facts.pop("vr")
    return PixelDescription(**facts), tag, vr


@contextmanager
def opened(content: Content) -> Iterator[Buffer]:
    """The bytes of a content: those in the arena, or a memory map of the file."""
    if isinstance(content, Slot):
        yield content.view
        return
    with mapped(content) as data:
        yield data
