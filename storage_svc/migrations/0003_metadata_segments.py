"""Metadata of series, in segments of many instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "metadata_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "metadata_segment",
        sa.Column("segment_id", text(32), nullable=False),
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("series_instance_uid", text(64), nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("models", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column("models_bytes", sa.BigInteger(), nullable=False),
        sa.Column("models_crc32", sa.BigInteger(), nullable=False),
        sa.Column("models_shift", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id"),
    )
    op.create_index("metadata_segment_by_series", "metadata_segment", ["study_instance_uid", "series_instance_uid"])
