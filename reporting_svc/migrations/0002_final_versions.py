"""Final versions of reports: who stands for them, and since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "finalization",
        sa.Column("report_id", text(), nullable=False),
        sa.Column("study", text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("observer", text(), nullable=False),
        sa.Column("organization", text(), nullable=False),
        sa.Column("peer", text(), nullable=False),
        sa.Column("replaces_id", text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("instance", text(), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["report.report_id"]),
        sa.PrimaryKeyConstraint("report_id"),
    )
    op.create_index("finalization_by_study", "finalization", ["study", "replaces_id"], unique=True)
