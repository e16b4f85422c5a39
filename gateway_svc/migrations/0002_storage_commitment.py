"""Storage commitments whose report was not taken yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "commitment",
        sa.Column("ae_title", text(), nullable=False),
        sa.Column("transaction_uid", text(), nullable=False),
        sa.Column("instances", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("next_try_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ae_title", "transaction_uid"),
    )
    op.create_index("commitment_by_next_try", "commitment", ["next_try_time"])
