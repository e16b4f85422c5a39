"""Check of the databases: where they are, and whether they can be used with the settings."""

from __future__ import annotations

import time
from collections.abc import Iterator

from imaging.cli.check import Check
from imaging.database import DatabaseAccess
from imaging.errors import ImagingError
from imaging.settings import Settings
from imaging.settings.database import SERVICES_WITH_DATABASE, database_access


def database_checks(settings: Settings) -> Iterator[Check]:
    """The PostgreSQL database of each service that has one; it is asked, and not changed."""
    for service in SERVICES_WITH_DATABASE:
        name = f"database of {service}"
        try:
            access = database_access(settings, service)
            if access.is_postgresql:
                yield _ask(name, access)
        except ImagingError as error:
            where = f" (at {error.where})" if error.where else ""
            yield Check("database", name, "failed", f"{error.what}{where}", error.hint)


def _ask(name: str, access: DatabaseAccess) -> Check:
    from imaging.database.postgresql import connect, place  # its driver takes time to load

    with connect(access) as connection:
        began = time.perf_counter()
        row = connection.execute(
            "SELECT current_setting('server_version'), to_regnamespace(quote_ident(%s)) IS NOT NULL", (access.schema,)
        ).fetchone()
        milliseconds = (time.perf_counter() - began) * 1000
    assert row is not None
    version, is_there = row
    found = f"PostgreSQL {version} at {place(access)} answers in {milliseconds:.0f} ms"
    if is_there:
        return Check("database", name, "ok", found)
    hint = "The service makes its schema at its start, if the role may."
    return Check("database", name, "warning", f"{found}; the schema does not exist yet", hint)
