"""Alerts, and to whom they are told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("number", counted(), autoincrement=True, nullable=False),
        sa.Column("id", text(64), nullable=False),
        sa.Column("rule", text(64), nullable=False),
        sa.Column("run_id", text(64), nullable=False),
        sa.Column("study", text(128), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.Column("acknowledge_time_us", sa.BigInteger()),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("alerts_by_study", "alerts", ["study", "number"])
    op.create_table(
        "alert_deliveries",
        sa.Column("alert_id", text(64), nullable=False),
        sa.Column("webhook", text(64), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("update_time_us", sa.BigInteger()),
        sa.Column("next_try_us", sa.BigInteger()),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"]),
        sa.PrimaryKeyConstraint("alert_id", "webhook"),
    )
    op.create_index("alert_deliveries_by_next_try", "alert_deliveries", ["next_try_us"])
