"""Until when somebody is at a failed send."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("failed_send", sa.Column("busy_until", sa.BigInteger()))
