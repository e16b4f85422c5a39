"""`imaging db`: how far the tables of the services are, and bringing them up to this release."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from imaging.cli.exit_codes import ExitCode
from imaging.cli.options import ConfigOption, DataOption, JsonFlag, SetOption, settings_from
from imaging.cli.output import Output
from imaging.errors import SettingsInvalid

if TYPE_CHECKING:
    from imaging.database.migration import Version
    from imaging.settings import Settings

db = typer.Typer(no_args_is_help=True, help="The tables of the services: their revision, and upgrades.")

ServiceOption = Annotated[
    list[str] | None,
    typer.Option("--service", help="Only this one; may be repeated. Default: all that have tables."),
]


@db.command()
def upgrade(
    services: ServiceOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring the tables up to this release: all of a service, or nothing. Make a backup first: it is the only way back.

    A SQLite file must not be in use. With PostgreSQL, services of the release before may go on meanwhile.
    """
    settings = settings_from(config, data, assignments)
    _show(_versions(settings, services, migrating=True), Output(as_json=as_json), done=True)


@db.command()
def current(
    services: ServiceOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell the revision of the tables and that of this release; nothing is changed."""
    settings = settings_from(config, data, assignments)
    _show(_versions(settings, services, migrating=False), Output(as_json=as_json))


@db.command()
def check(
    services: ServiceOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """As current, with exit code 5 unless the tables of every service are those of this release."""
    settings = settings_from(config, data, assignments)
    found = _show(_versions(settings, services, migrating=False), Output(as_json=as_json))
    raise typer.Exit(ExitCode.OK if all(version.is_current for version in found) else ExitCode.REFUSED)


def _versions(settings: Settings, services: list[str] | None, *, migrating: bool) -> Iterator[tuple[str, str, Version]]:
    """Service, its database, and how far its tables are; or how far they were before they were brought up."""
    from imaging.database.migration import migrate
    from imaging.database.opening import open_backend, version_at
    from imaging.settings.database import SERVICES_WITH_DATABASE, database_access

    for service in services or SERVICES_WITH_DATABASE:
        if service not in SERVICES_WITH_DATABASE:
            hint = f"It is one of: {', '.join(SERVICES_WITH_DATABASE)}."
            raise SettingsInvalid(f"The service `{service}` has no tables", where="--service", hint=hint)
        access = database_access(settings, service)
        tables = import_module(f"{service}_svc.schema").TABLES
        if not migrating:
            yield service, access.shown, version_at(access, tables)
            continue
        backend = open_backend(access)
        try:
            with backend.migrating() as connection:
                found = migrate(connection, tables, where=backend.where)
        finally:
            backend.close()
        yield service, access.shown, found


def _show(versions: Iterator[tuple[str, str, Version]], output: Output, *, done: bool = False) -> list[Version]:
    """Write them; those that were looked at before one fails, too."""
    shown: list[Version] = []
    rows: list[tuple[object, ...]] = []
    try:
        for service, database, version in versions:
            shown.append(version)
            state = "current" if version.is_current else "upgraded" if done else "to be upgraded"
            if output.as_json:
                facts = {"service": service, "database": database, "found": version.found, "needed": version.needed}
                output.result({**facts, "state": state})
            else:
                style = "yellow" if state == "to be upgraded" else "green"
                rows.append((service, version.found or "none", version.needed, Text(state, style=style), database))
    finally:
        if rows:
            output.table("", ("service", "found", "needed", "state", "database"), rows)
    return shown
