"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "result",
        sa.Column("request_id", text(), nullable=False),
        sa.Column("run", text(), nullable=False),
        sa.Column("study", text(), nullable=False),
        sa.Column("series", text(), nullable=False),
        sa.Column("model", text(), nullable=False),
        sa.Column("model_version", text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_table(
        "finding",
        sa.Column("sequence", counted(), autoincrement=True, nullable=False),
        sa.Column("finding_id", text(), nullable=False),
        sa.Column("request_id", text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("run", text(), nullable=False),
        sa.Column("study", text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["result.request_id"],
        ),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("finding_id"),
    )
    op.create_index("finding_by_request", "finding", ["request_id", "position"], unique=True)
    op.create_index("finding_by_run", "finding", ["run", "sequence"])
    op.create_index("finding_by_study", "finding", ["study", "sequence"])
