"""The tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "runs",
        sa.Column("number", counted(), autoincrement=True, nullable=False),
        sa.Column("id", text(64), nullable=False),
        sa.Column("study", text(128), nullable=False),
        sa.Column("manifest_version", sa.BigInteger(), nullable=False),
        sa.Column("asked_recipe", text(64), nullable=False),
        sa.Column("recipe", text(64), nullable=False),
        sa.Column("recipe_version", sa.Integer(), nullable=False),
        sa.Column("recipe_source", text(), nullable=False),
        sa.Column("deleted_at_revision", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("is_planned", sa.Boolean(), nullable=False),
        sa.Column("reason", text(), nullable=False),
        sa.Column("traceparent", text(64), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.Column("end_time_us", sa.BigInteger(), nullable=True),
        sa.Column("superseded_by", text(64), nullable=False),
        sa.Column("report", text(128), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint(
            "study", "manifest_version", "asked_recipe", "deleted_at_revision", name="one_run_a_question"
        ),
        sa.UniqueConstraint("study", "manifest_version", "recipe", "deleted_at_revision", name="one_run_a_recipe"),
    )
    op.create_index("runs_by_state", "runs", ["state", "number"])
    op.create_index("runs_by_study", "runs", ["study", "number"])

    op.create_table(
        "stages",
        sa.Column("run_id", text(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", text(128), nullable=False),
        sa.Column("kind", text(16), nullable=False),
        sa.Column("uses", text(128), nullable=False),
        sa.Column("parameters_json", text(), nullable=False),
        sa.Column("is_optional", sa.Boolean(), nullable=False),
        sa.Column("input", text(128), nullable=False),
        sa.Column("documents_json", text(), nullable=False),
        sa.Column("selected_series", text(256), nullable=False),
        sa.Column("sop_instance_uids_json", text(), nullable=False),
        sa.Column("series", text(256), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("start_time_us", sa.BigInteger(), nullable=True),
        sa.Column("end_time_us", sa.BigInteger(), nullable=True),
        sa.Column("output_series", text(256), nullable=False),
        sa.Column("outputs_json", text(), nullable=False),
        sa.Column("finding_count", sa.Integer(), nullable=False),
        sa.Column("error", text(), nullable=False),
        sa.Column("refusals_json", text(), nullable=False),
        sa.Column("algorithm", text(256), nullable=False),
        sa.Column("report", text(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
