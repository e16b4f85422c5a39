"""Write the next migration of a service: what its `schema.py` has, and its migrations do not make yet.

    python -m imaging.database.new_revision storage "remember when objects were checked"

A draft to be read and finished: alembic sees new tables, columns and indexes, but not what they shall be filled with.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Connection, String

from imaging.database.access import DatabaseAccess
from imaging.database.migration import migrate
from imaging.database.opening import open_backend
from imaging.database.tables import Tables

_FILE = '''"""{what}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text

revision = "{revision}"
down_revision = {before!r}


def upgrade() -> None:
    {body}
'''


def new_revision(tables: Tables, what: str) -> Path:
    """The file of a new revision that makes the tables from those of the last one."""
    scripts = ScriptDirectory(tables.migrations, version_locations=[tables.migrations])
    before = scripts.get_current_head()
    revision = f"{int(before or 0) + 1:04}"
    with tempfile.TemporaryDirectory() as folder:
        backend = open_backend(DatabaseAccess(f"sqlite:///{folder}/draft.sqlite"))
        with backend.migrating() as connection:
            if before is not None:
                migrate(connection, tables, where=folder)
            body = render_python_code(
                differences(connection, tables).upgrade_ops or [],  # type: ignore[arg-type]  # empty: nothing to do
                render_as_batch=True,
                render_item=_render_type,
            )
        backend.close()
    slug = re.sub(r"[^a-z0-9]+", "_", what.lower()).strip("_")
    file = tables.migrations / f"{revision}_{slug}.py"
    file.parent.mkdir(exist_ok=True)
    body = re.sub(r"^ *# .*\n|^ *# .*$", "", body, flags=re.MULTILINE).strip()
    file.write_text(_FILE.format(what=what[:1].upper() + what[1:] + ".", revision=revision, before=before, body=body))
    return file


def differences(connection: Connection, tables: Tables) -> Any:
    """What alembic finds to be done so that a database has the tables of this release."""

    def is_ours(name: str | None, kind: str, parents: object) -> bool:
        return not (name or "").startswith(("schema_version", *tables.made_by_migrations))

    options = {
        "target_metadata": tables.metadata,
        "include_name": is_ours,
        "compare_server_default": connection.dialect.name == "postgresql",  # alembic misreads empty ones of SQLite
    }
    context = MigrationContext.configure(connection, opts=options)
    with warnings.catch_warnings():
        # An index of an expression is not compared, and stands in `made_by_migrations`.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
        return produce_migrations(context, tables.metadata)


def _render_type(kind: str, item: object, context: object) -> str | Literal[False]:
    if kind == "type" and isinstance(item, String) and "postgresql" in item._variant_mapping:
        return f"text({item.length or ''})"
    if kind == "type" and isinstance(item, BigInteger) and "sqlite" in item._variant_mapping:
        return "counted()"
    return False


if __name__ == "__main__":
    _, service, title = sys.argv
    print(new_revision(importlib.import_module(f"{service}_svc.schema").TABLES, title))  # noqa: T201
