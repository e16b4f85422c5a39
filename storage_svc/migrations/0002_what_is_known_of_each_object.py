"""What is known of each object; parts that are deleted; holds; the audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", counted(), autoincrement=True, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("action", text(), nullable=False),
        sa.Column("name", text(), nullable=False),
        sa.Column("peer", text(), nullable=False),
        sa.Column("reason", text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "resolution",
        sa.Column("quarantine_id", text(), nullable=False),
        sa.Column("resolution", sa.SmallInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("quarantine_id"),
    )
    op.create_table(
        "scrub",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("wanted_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    # A zero is "unknown", and true of what is there: nothing was verified since it arrived, whole studies were deleted.
    op.add_column("instance", sa.Column("deleted_level", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("instance", sa.Column("condition", sa.SmallInteger(), nullable=False, server_default="1"))
    op.add_column("kept_object", sa.Column("object_crc32c", sa.BigInteger(), nullable=True))
    op.add_column("kept_object", sa.Column("piece_checksums", sa.LargeBinary(), nullable=True))
    op.add_column("kept_object", sa.Column("verify_time", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("kept_object", sa.Column("condition", sa.SmallInteger(), nullable=False, server_default="1"))
    op.create_index("kept_object_by_verify_time", "kept_object", ["verify_time", "size_bytes"])
    op.create_index(
        "kept_object_damaged",
        "kept_object",
        ["object_key"],
        sqlite_where=sa.text("condition <> 1"),
        postgresql_where=sa.text("condition <> 1"),
    )
    op.add_column("series", sa.Column("generation", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("study", sa.Column("hold_time", sa.BigInteger(), nullable=True))
    op.add_column("study", sa.Column("hold_reason", text(), nullable=True))
