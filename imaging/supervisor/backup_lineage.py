"""Whether a backup is an earlier state of a data folder: only then may a newer one take its place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from imaging.errors import FailedPrecondition

_SHARED: Final = "SELECT 1 FROM kept_object JOIN copy.kept_object USING (object_key) LIMIT 1"
"""Keys of objects end in random letters: two installations have none in common, whatever they were sent."""

_CONTINUED: Final = """
SELECT (SELECT revision FROM change_head) >= (SELECT revision FROM copy.change_head)
AND NOT EXISTS (
    SELECT 1 FROM change JOIN copy.change AS copied USING (revision)
    WHERE change.name <> copied.name OR change.create_time <> copied.create_time
)
"""


def check_lineage(storage: Path, copied: Path) -> None:
    """Pass if the index of storage in a backup, `copied`, is an earlier state of the one in use, or keeps nothing.

    Raises
    ------
    FailedPrecondition
        It is one of another installation, or of a later state: copying would lose what it alone knows.
    """
    try:
        with closing(sqlite3.connect(f"{storage.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as reading:
            reading.execute("ATTACH ? AS copy", (f"{copied.absolute().as_uri()}?immutable=1",))
            if reading.execute("SELECT 1 FROM copy.kept_object LIMIT 1").fetchone() is None:
                return
            is_shared = reading.execute(_SHARED).fetchone() is not None
            is_continued = is_shared and reading.execute(_CONTINUED).fetchone() == (1,)
    except sqlite3.Error as error:
        raise _another(copied, f"The backup that is there cannot be compared: {error}") from error
    if not is_shared:
        raise _another(copied, "The backup that is there is one of another installation")
    if not is_continued:
        raise _another(copied, "The backup that is there knows what the data folder does not, as before a restore")


def _another(copied: Path, what: str) -> FailedPrecondition:
    return FailedPrecondition(what, where=str(copied), hint="Back up into a folder of its own, so that it stays whole.")
