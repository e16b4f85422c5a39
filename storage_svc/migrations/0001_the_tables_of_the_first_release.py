"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "change",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("name", text(), nullable=False),
        sa.Column("digest", text(), nullable=False),
        sa.Column("manifest_version", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("origin_kind", sa.SmallInteger(), nullable=False),
        sa.Column("origin_run", text(), nullable=False),
        sa.Column("origin_stage", text(), nullable=False),
        sa.Column("origin_attempt", sa.Integer(), nullable=False),
        sa.Column("traceparent", text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("revision"),
    )
    op.create_table(
        "change_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("oldest_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "derived_instance",
        sa.Column("sop_instance_uid", text(64), nullable=False),
        sa.Column("origin_run", text(), nullable=False),
        sa.Column("origin_stage", text(), nullable=False),
        sa.Column("origin_attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid"),
    )
    op.create_table(
        "instance",
        sa.Column("sop_instance_uid", text(64), nullable=False),
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("series_instance_uid", text(64), nullable=False),
        sa.Column("sop_class_uid", text(64), nullable=False),
        sa.Column("instance_number", sa.BigInteger(), nullable=True),
        sa.Column("image_type", text(), nullable=False),
        sa.Column("content_date", text(), nullable=False),
        sa.Column("content_time", text(), nullable=False),
        sa.Column("acquisition_number", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("number_of_frames", sa.Integer(), nullable=False),
        sa.Column("bits_allocated", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("object_key", text(), nullable=False),
        sa.Column("transfer_syntax_uid", text(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("data_set_sha256", text(64), nullable=False),
        sa.Column("object_crc32c", sa.BigInteger(), nullable=False),
        sa.Column("warnings", text(), nullable=False),
        sa.Column("origin_kind", sa.SmallInteger(), nullable=False),
        sa.Column("origin_run", text(), nullable=False),
        sa.Column("origin_stage", text(), nullable=False),
        sa.Column("origin_attempt", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("purge_time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sop_instance_uid"),
        sa.UniqueConstraint("object_key"),
    )
    op.create_index("instance_by_purge_time", "instance", ["purge_time"])
    op.create_index(
        "instance_by_series",
        "instance",
        ["study_instance_uid", "series_instance_uid", "instance_number", "sop_instance_uid"],
        unique=False,
    )

    op.create_table(
        "kept_object",
        sa.Column("object_key", text(), nullable=False),
        sa.Column("sop_instance_uid", text(64), nullable=False),
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("data_set_sha256", text(64), nullable=False),
        sa.Column("data_set_offset", sa.BigInteger(), nullable=False),
        sa.Column("header_end", sa.BigInteger(), nullable=False),
        sa.Column("inflated", sa.Boolean(), nullable=False),
        sa.Column("transfer_syntax_uid", text(64), nullable=False),
        sa.Column("pixels", text(), nullable=False),
        sa.Column("frames", sa.LargeBinary(), nullable=True),
        sa.Column("source", text(), nullable=False),
        sa.Column("traceparent", text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("object_key"),
    )
    op.create_index("kept_object_by_instance", "kept_object", ["sop_instance_uid"])
    op.create_index("kept_object_by_study", "kept_object", ["study_instance_uid", "create_time"])

    op.create_table(
        "manifest",
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("instance_count", sa.BigInteger(), nullable=False),
        sa.Column("digest", text(64), nullable=False),
        sa.Column("complete_time", sa.BigInteger(), nullable=False),
        sa.Column("traceparent", text(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "version"),
    )
    op.create_table(
        "quarantine",
        sa.Column("object_key", text(), nullable=False),
        sa.Column("sop_instance_uid", text(64), nullable=False),
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("series_instance_uid", text(64), nullable=False),
        sa.Column("data_set_sha256", text(64), nullable=False),
        sa.Column("reason", text(), nullable=False),
        sa.Column("source", text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("object_key"),
    )
    op.create_index("quarantine_by_content", "quarantine", ["sop_instance_uid", "data_set_sha256"])

    op.create_table(
        "rejection",
        sa.Column("id", counted(), autoincrement=True, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("source", text(), nullable=False),
        sa.Column("reason", text(), nullable=False),
        sa.Column("place", text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "series",
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("series_instance_uid", text(64), nullable=False),
        sa.Column("modality", text(), nullable=False),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("series_description", text(), nullable=False),
        sa.Column("series_date", text(), nullable=False),
        sa.Column("series_time", text(), nullable=False),
        sa.Column("body_part_examined", text(), nullable=False),
        sa.Column("laterality", text(), nullable=False),
        sa.Column("frame_of_reference_uid", text(), nullable=False),
        sa.Column("manufacturer", text(), nullable=False),
        sa.Column("manufacturer_model_name", text(), nullable=False),
        sa.Column("protocol_name", text(), nullable=False),
        sa.Column("procedure_step_start_date", text(), nullable=False),
        sa.Column("procedure_step_start_time", text(), nullable=False),
        sa.Column("instance_count", sa.BigInteger(), nullable=False),
        sa.Column("frame_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("image_types", text(), nullable=False),
        sa.Column("sop_class_uids", text(), nullable=False),
        sa.Column("origin_kind", sa.SmallInteger(), nullable=False),
        sa.Column("origin_run", text(), nullable=False),
        sa.Column("origin_stage", text(), nullable=False),
        sa.Column("origin_attempt", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "series_instance_uid"),
    )
    op.create_index("series_by_uid", "series", ["series_instance_uid"])

    op.create_table(
        "stage_attempt",
        sa.Column("run", text(), nullable=False),
        sa.Column("stage", text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", "stage"),
    )
    op.create_table(
        "study",
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("patient_id", text(), nullable=False),
        sa.Column("issuer_of_patient_id", text(), nullable=False),
        sa.Column("patient_name", text(), nullable=False),
        sa.Column("patient_name_key", text(), nullable=False),
        sa.Column("patient_birth_date", text(), nullable=False),
        sa.Column("patient_sex", text(), nullable=False),
        sa.Column("study_date", text(), nullable=False),
        sa.Column("study_time", text(), nullable=False),
        sa.Column("accession_number", text(), nullable=False),
        sa.Column("study_id", text(), nullable=False),
        sa.Column("study_description", text(), nullable=False),
        sa.Column("referring_physician_name", text(), nullable=False),
        sa.Column("referring_physician_name_key", text(), nullable=False),
        sa.Column("series_count", sa.BigInteger(), nullable=False),
        sa.Column("instance_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("purge_time", sa.BigInteger(), nullable=True),
        sa.Column("manifest_version", sa.BigInteger(), nullable=False),
        sa.Column("manifest_count", sa.BigInteger(), nullable=False),
        sa.Column("manifest_digest", text(), nullable=False),
        sa.Column("manifest_traceparent", text(), nullable=False),
        sa.Column("manifest_time", sa.BigInteger(), nullable=False),
        sa.Column("manifest_open", sa.Boolean(), nullable=False),
        sa.Column("quiet_due", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )
    op.create_index("study_by_accession", "study", ["accession_number"])
    op.create_index("study_by_date", "study", ["study_date", "study_instance_uid"])
    op.create_index("study_by_patient", "study", ["patient_id"])
    op.create_index("study_by_quiet_due", "study", ["quiet_due"])

    op.create_table(
        "upload",
        sa.Column("upload_id", text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("persisted_bytes", sa.BigInteger(), nullable=False),
        sa.Column("spool_name", text(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id"),
    )
    op.create_index("upload_by_update_time", "upload", ["update_time"])
