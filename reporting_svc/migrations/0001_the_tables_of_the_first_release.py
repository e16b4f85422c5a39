"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "report",
        sa.Column("sequence", counted(), autoincrement=True, nullable=False),
        sa.Column("report_id", text(), nullable=False),
        sa.Column("request_id", text(), nullable=False),
        sa.Column("run", text(), nullable=False),
        sa.Column("study", text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("predecessor_id", text(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("instances", text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("report_id"),
        sa.UniqueConstraint("request_id"),
    )
    op.create_index("report_by_study", "report", ["study", "version"], unique=True)

    op.create_table(
        "document",
        sa.Column("report_id", text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["report_id"],
            ["report.report_id"],
        ),
        sa.PrimaryKeyConstraint("report_id", "format", "number"),
    )
