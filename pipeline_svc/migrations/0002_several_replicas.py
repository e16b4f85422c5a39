"""Several replicas: which one is on duty, and where each stage is worked on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("holder", text(32), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO lease (id, holder, expires_us) VALUES (1, '', 0)")
    op.execute("INSERT INTO cursor (id, revision) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM cursor)")
    op.add_column("stages", sa.Column("replica", text(512), nullable=False, server_default=""))
