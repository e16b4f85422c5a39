"""What was compared of the objects of a stage before they were stored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("stages", sa.Column("checks_json", text(), nullable=False, server_default="[]"))
