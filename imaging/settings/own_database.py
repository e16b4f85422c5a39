"""What every service with tables can set: a database of its own."""

from __future__ import annotations

from pathlib import Path

from imaging.settings.section import Section


class OwnDatabase(Section):
    """A database of one service's own, where they do not share that of `database`."""

    database_url: str = ""
    """As `database.url`, for this service alone."""

    database_password_file: Path | None = None
    """File with the password for it; readable by its owner alone."""
