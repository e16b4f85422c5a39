"""The table of the tests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("item", sa.Column("name", text(), primary_key=True), sa.Column("revision", sa.Integer()))
