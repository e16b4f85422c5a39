"""What several processes on one database need: the head of the change log, uploads by study, the name of the index."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        "INSERT INTO change_head (id, revision, oldest_revision)"
        " SELECT 1, 0, 1 WHERE NOT EXISTS (SELECT id FROM change_head)"
    )
    op.add_column("upload", sa.Column("study_instance_uid", text(), server_default="", nullable=False))
    op.create_index("upload_by_study", "upload", ["study_instance_uid"])
    installation = op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", text(32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(installation, [{"id": 1, "identity": secrets.token_hex(16)}])
