"""Instances that a destination has not taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "failed_send",
        sa.Column("sequence", counted(), autoincrement=True, nullable=False),
        sa.Column("failed_send_id", text(), nullable=False),
        sa.Column("destination", text(), nullable=False),
        sa.Column("instance", text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=False),
        sa.Column("run", text(), nullable=False),
        sa.Column("stage", text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("next_try_time", sa.BigInteger()),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("failed_send_id"),
        sa.UniqueConstraint("destination", "instance", name="one_a_destination_and_instance"),
    )
    op.create_index("failed_send_by_next_try", "failed_send", ["next_try_time"])
