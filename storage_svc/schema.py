"""The tables of the storage service. Times are microseconds since 1970 UTC; unknown texts are empty, never null."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    literal_column,
)

from imaging.database import Tables
from imaging.database.column_types import counted, text

METADATA = MetaData()
TABLES = Tables(
    METADATA,
    Path(__file__).with_name("migrations"),
    # The trigram index of `study_list`, and that which gives instances in their order, those without a number last.
    made_by_migrations=("study_text", "instance_by_place"),
)

NO_NUMBER = 2**40
"""Sorts series and instances without a number last."""


def _text(name: str, server_default: str | None = None) -> Column[str]:
    return Column(name, text(), nullable=False, default="", server_default=server_default)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0)


STUDY = Table(
    "study",
    METADATA,
    Column("study_instance_uid", text(64), primary_key=True),
    _text("patient_id"),
    _text("issuer_of_patient_id"),
    _text("patient_name"),
    _text("patient_birth_date"),
    _text("patient_sex"),
    _text("study_date"),
    _text("study_time"),
    _text("accession_number"),
    _text("study_id"),
    _text("study_description"),
    _text("referring_physician_name"),
    # Live series and instances: those that are not deleted.
    _count("series_count"),
    _count("instance_count"),
    _count("size_bytes"),
    _count("generation"),  # the etag; grows with each change
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    Column("purge_time", BigInteger),  # set while all of it is softly deleted
    Column("hold_time", BigInteger),  # set while it is under legal hold, as is its reason
    Column("hold_reason", text()),
    # The newest manifest; `manifest` has all of them.
    _count("manifest_version"),
    _count("manifest_count"),
    _text("manifest_digest"),
    _text("manifest_traceparent"),
    _count("manifest_time"),
    Column("manifest_open", Boolean, nullable=False, default=False),
    Column("quiet_due", BigInteger),  # when the study is complete, if nothing more comes
    Index("study_by_quiet_due", "quiet_due"),
)

STUDY_LIST = Table(
    "study_list",
    METADATA,
    Column("position", counted(), primary_key=True, autoincrement=False),
    Column("study_instance_uid", text(64), nullable=False, unique=True),
    _text("patient_id"),
    _text("issuer_of_patient_id"),
    _text("patient_name_key"),  # folded for matching: see search/wildcard.py
    _text("patient_birth_date"),
    _text("patient_sex"),
    _text("study_date"),
    _text("study_time"),
    _text("accession_number"),
    _text("study_id"),
    _text("study_description"),
    _text("referring_physician_name_key"),
    _text("modalities"),  # distinct, sorted, each between backslashes
    Index("study_list_by_patient", "patient_id", "position"),
    Index("study_list_by_accession", "accession_number", "position"),
    Index("study_list_by_birth_date", "patient_birth_date", "position"),
)
"""The live studies in the order of lists (`search/list_position.py`), with what they are searched by.

Apart from `study`, whose counters change with every batch of instances: what is indexed here changes rarely.
"""

SERIES = Table(
    "series",
    METADATA,
    Column("study_instance_uid", text(64), nullable=False),
    Column("series_instance_uid", text(64), nullable=False),
    _text("modality"),
    Column("series_number", BigInteger),
    _text("series_description"),
    _text("series_date"),
    _text("series_time"),
    _text("body_part_examined"),
    _text("laterality"),
    _text("frame_of_reference_uid"),
    _text("manufacturer"),
    _text("manufacturer_model_name"),
    _text("protocol_name"),
    _text("procedure_step_start_date"),
    _text("procedure_step_start_time"),
    _count("instance_count"),
    _count("frame_count"),
    _count("size_bytes"),
    Column("rows", Integer, nullable=False, default=0),
    Column("columns", Integer, nullable=False, default=0),
    _text("image_types"),  # distinct values, one a line
    _text("sop_class_uids"),  # distinct values, one a line
    Column("origin_kind", SmallInteger, nullable=False),
    _text("origin_run"),
    _text("origin_stage"),
    Column("origin_attempt", Integer, nullable=False, default=0),
    Column("generation", BigInteger, nullable=False, default=0, server_default="0"),  # the etag; grows with each change
    Column("create_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("study_instance_uid", "series_instance_uid"),
    Index("series_by_uid", "series_instance_uid"),
)

INSTANCE = Table(
    "instance",
    METADATA,
    Column("sop_instance_uid", text(64), primary_key=True),
    Column("study_instance_uid", text(64), nullable=False),
    Column("series_instance_uid", text(64), nullable=False),
    Column("sop_class_uid", text(64), nullable=False),
    Column("instance_number", BigInteger),
    _text("image_type"),
    _text("content_date"),
    _text("content_time"),
    Column("acquisition_number", BigInteger),
    Column("rows", Integer, nullable=False, default=0),
    Column("columns", Integer, nullable=False, default=0),
    Column("number_of_frames", Integer, nullable=False, default=0),
    Column("bits_allocated", Integer, nullable=False, default=0),
    # The version that is served.
    Column("version", Integer, nullable=False, default=1),
    Column("object_key", text(), nullable=False, unique=True),
    Column("transfer_syntax_uid", text(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("data_set_sha256", text(64), nullable=False),
    Column("object_crc32c", BigInteger, nullable=False),
    _text("warnings"),  # one a line
    Column("origin_kind", SmallInteger, nullable=False),
    _text("origin_run"),
    _text("origin_stage"),
    Column("origin_attempt", Integer, nullable=False, default=0),
    Column("create_time", BigInteger, nullable=False),
    Column("purge_time", BigInteger),  # set while it is softly deleted
    # 1 deleted with its study, 2 with its series, 3 alone.
    Column("deleted_level", SmallInteger, nullable=False, default=0, server_default="0"),
    # That of its object, so that reading need not ask.
    Column("condition", SmallInteger, nullable=False, default=1, server_default="1"),
    Index("instance_by_purge_time", "purge_time"),
)

_DAMAGED: ColumnElement[bool] = literal_column("condition <> 1")

KEPT_OBJECT = Table(
    "kept_object",
    METADATA,
    Column("object_key", text(), primary_key=True),
    Column("sop_instance_uid", text(64), nullable=False),
    Column("study_instance_uid", text(64), nullable=False),
    Column("version", Integer, nullable=False),  # 0: in quarantine
    Column("size_bytes", BigInteger, nullable=False),
    Column("data_set_sha256", text(64), nullable=False),
    Column("data_set_offset", BigInteger, nullable=False),
    Column("header_end", BigInteger, nullable=False),
    Column("inflated", Boolean, nullable=False, default=False),
    Column("transfer_syntax_uid", text(64), nullable=False),
    _text("pixels"),  # JSON of the pixel description; empty without pixels
    Column("frames", LargeBinary),  # packed frame index
    Column("object_crc32c", BigInteger),  # unknown for what the first release had replaced
    Column("piece_checksums", LargeBinary),  # packed; none for an inflated data set, which is only read whole
    _text("source"),
    _text("traceparent"),
    Column("create_time", BigInteger, nullable=False),
    # 0: never since the first release stored it.
    Column("verify_time", BigInteger, nullable=False, default=0, server_default="0"),
    Column("condition", SmallInteger, nullable=False, default=1, server_default="1"),  # ObjectCondition: 1 is OK
    Index("kept_object_by_instance", "sop_instance_uid"),
    Index("kept_object_by_study", "study_instance_uid", "create_time"),
    # Sums are taken from it alone. New objects come at its end: they were verified on arrival.
    Index("kept_object_by_verify_time", "verify_time", "size_bytes"),
    Index("kept_object_damaged", "object_key", sqlite_where=_DAMAGED, postgresql_where=_DAMAGED),
)
"""Every object that must not be swept: served versions, older versions and quarantined ones."""

METADATA_SEGMENT = Table(
    "metadata_segment",
    METADATA,
    Column("segment_id", text(32), primary_key=True),
    Column("study_instance_uid", text(64), nullable=False),
    Column("series_instance_uid", text(64), nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("entries", LargeBinary, nullable=False),  # which instances, with what content
    Column("size_bytes", BigInteger, nullable=False),  # of the two below
    Column("models", LargeBinary, nullable=False),  # DICOM JSON, deflated
    Column("headers", LargeBinary, nullable=False),  # encoded data sets without pixels
    # What is needed to put `models` into a gzip stream.
    Column("models_bytes", BigInteger, nullable=False),
    Column("models_crc32", BigInteger, nullable=False),
    Column("models_shift", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Index("metadata_segment_by_series", "study_instance_uid", "series_instance_uid"),
)
"""Metadata of many instances of a series at a time; can be made anew from the objects. Removed with the study."""

METADATA_CURSOR = Table(
    "metadata_cursor",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
"""Up to which change the segments are written."""

DERIVED_INSTANCE = Table(
    "derived_instance",
    METADATA,
    Column("sop_instance_uid", text(64), primary_key=True),
    Column("origin_run", text(), nullable=False),
    Column("origin_stage", text(), nullable=False),
    Column("origin_attempt", Integer, nullable=False),
)
"""Which UIDs are our own results, remembered beyond deletion: an echo of one must never start a run."""

STAGE_ATTEMPT = Table(
    "stage_attempt",
    METADATA,
    Column("run", text(), nullable=False),
    Column("stage", text(), nullable=False),
    Column("attempt", Integer, nullable=False),
    PrimaryKeyConstraint("run", "stage"),
)

MANIFEST = Table(
    "manifest",
    METADATA,
    Column("study_instance_uid", text(64), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("instance_count", BigInteger, nullable=False),
    Column("digest", text(64), nullable=False),
    Column("complete_time", BigInteger, nullable=False),
    Column("traceparent", text(), nullable=False),
    PrimaryKeyConstraint("study_instance_uid", "version"),
)
"""All manifest versions; they stay when a study is purged, so that a version is never given twice."""

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("object_key", text(), primary_key=True),
    Column("sop_instance_uid", text(64), nullable=False),
    Column("study_instance_uid", text(64), nullable=False),
    Column("series_instance_uid", text(64), nullable=False),
    Column("data_set_sha256", text(64), nullable=False),
    Column("reason", text(), nullable=False),  # a name of QuarantinedInstance.Reason; words in the first release
    _text("source"),
    Column("create_time", BigInteger, nullable=False),
    Index("quarantine_by_content", "sop_instance_uid", "data_set_sha256"),
)

REJECTION = Table(
    "rejection",
    METADATA,
    Column("id", counted(), primary_key=True, autoincrement=True),
    Column("create_time", BigInteger, nullable=False),
    _text("source"),
    Column("reason", text(), nullable=False),
    _text("place"),
    _count("size_bytes"),
)
"""The audit of what was turned away: who, when, why; nothing of the content."""

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", counted(), primary_key=True, autoincrement=True),
    Column("create_time", BigInteger, nullable=False),
    Column("action", text(), nullable=False),
    Column("name", text(), nullable=False),
    _text("peer"),
    _text("reason"),
)
"""Who took something away, brought it back or decided over it, when, and the reason that was given."""

RESOLUTION = Table(
    "resolution",
    METADATA,
    Column("quarantine_id", text(), primary_key=True),
    Column("resolution", SmallInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
)
"""What was decided over quarantined instances, so that a decision that is sent again gets the same answer."""

SCRUB = Table(
    "scrub",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("wanted_time", BigInteger, nullable=False),
)
"""What was verified before `wanted_time` is verified anew, as fast as the rate allows."""

UPLOAD = Table(
    "upload",
    METADATA,
    Column("upload_id", text(), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("persisted_bytes", BigInteger, nullable=False),
    Column("spool_name", text(), nullable=False),
    _text("study_instance_uid", server_default=""),  # what it seems to be of; empty while that is not known
    Column("update_time", BigInteger, nullable=False),
    Index("upload_by_update_time", "update_time"),
    Index("upload_by_study", "study_instance_uid"),
)
"""Uploads that may be resumed after a break or a restart."""

INSTALLATION = Table(
    "installation",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("identity", text(32), nullable=False),
)
"""One row with a random word, which a migration has made: the bucket of an S3 server holds it, too."""

CHANGE_HEAD = Table(
    "change_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("oldest_revision", BigInteger, nullable=False),
)
"""One row, which a migration has made: two processes that commit their first changes find it."""

CHANGE = Table(
    "change",
    METADATA,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("name", text(), nullable=False),
    _text("digest"),
    _count("manifest_version"),
    _count("size_bytes"),
    Column("origin_kind", SmallInteger, nullable=False, default=0),
    _text("origin_run"),
    _text("origin_stage"),
    Column("origin_attempt", Integer, nullable=False, default=0),
    _text("traceparent"),
    Column("create_time", BigInteger, nullable=False),
)
