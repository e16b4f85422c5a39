"""The database of a service as the settings say; refused if its password could leak or rows travel in plain text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

from imaging.database.access import DatabaseAccess
from imaging.errors import SettingsInvalid
from imaging.rpc.loopback import is_loopback
from imaging.settings.model import Settings
from imaging.settings.own_database import OwnDatabase
from imaging.settings.security_files import check_trusted_certificates, read_secret

ServiceWithDatabase = Literal["storage", "analysis", "reporting", "pipeline", "gateway"]
SERVICES_WITH_DATABASE: Final[tuple[ServiceWithDatabase, ...]] = get_args(ServiceWithDatabase)

_PROVEN: Final = ("verify-ca", "verify-full")
"""Values of sslmode under which nobody in between can read or change what is sent."""


def database_access(settings: Settings, service: ServiceWithDatabase) -> DatabaseAccess:
    """Where a service has its tables: in PostgreSQL, or without a URL in a SQLite file below `data_dir`.

    Raises
    ------
    SettingsInvalid
        The URL is no URL of PostgreSQL or holds a password, the file with the password is not there or can be read by
        others, or rows would travel in plain text.
    """
    shared, own = settings.database, getattr(settings, service)
    assert isinstance(own, OwnDatabase)
    places = (
        (f"{service}.database_", own.database_url, own.database_password_file),
        ("database.", shared.url, shared.password_file),
    )
    for section, url, file in places:
        if file is not None and not url:
            raise SettingsInvalid(
                "A password has no effect without the URL of its database",
                where=f"{section}password_file",
                hint=f"Set {section}url too, or leave both out.",
            )
    section, url, file = next((place for place in places if place[1]), places[1])
    if not url:
        file = settings.data_dir.absolute() / service / f"{service}.sqlite"
        return DatabaseAccess(f"sqlite:///{file}", migrate_at_start=shared.migrate_at_start)
    setting, file_setting = f"{section}url", f"{section}password_file"
    parameters = _parameters(url, setting)
    if not _stays_here(parameters) and not settings.security.insecure:
        url = _proven(url, parameters, setting, shared.ca_file)
    if shared.ca_file is not None:
        check_trusted_certificates(shared.ca_file, "database.ca_file")
    if file is not None:
        _password(file, file_setting)  # now, so that a mistake is told at once
    return DatabaseAccess(
        url,
        schema=f"{shared.schema_prefix}_{service}",
        password=str if file is None else partial(_password, file, file_setting),
        ca_file=shared.ca_file,
        program=f"imaging {service}",
        accept_data_loss=shared.accept_data_loss,
        migrate_at_start=shared.migrate_at_start,
    )


def _parameters(url: str, setting: str) -> Mapping[str, Any]:
    from psycopg import ProgrammingError  # it takes time to load, and SQLite does without
    from psycopg.conninfo import conninfo_to_dict

    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsInvalid(
            "The database URL is not one of PostgreSQL",
            where=setting,
            hint="Write it as postgresql://user@host:5432/database; leave it out for SQLite.",
        )
    try:
        parameters = conninfo_to_dict(url)
    except ProgrammingError:
        raise SettingsInvalid(
            "The database URL cannot be understood",
            where=setting,
            hint="Write it as postgresql://user@host:5432/database, special characters as %XX.",
        ) from None
    if parameters.get("password"):
        raise SettingsInvalid(
            "The database URL holds a password, which logs and lists of processes would show",
            where=setting,
            hint=f"Leave it out, and set {setting.removesuffix('url')}password_file.",
        )
    return parameters


def _stays_here(parameters: Mapping[str, Any]) -> bool:
    """True if no other machine is on the way: a socket of this one, or its loopback."""
    hosts = str(parameters.get("hostaddr") or parameters.get("host") or "/").split(",")
    return all(not host or host.startswith(("/", "@")) or is_loopback(f"{host}:0") for host in hosts)


def _proven(url: str, parameters: Mapping[str, Any], setting: str, ca_file: Path | None) -> str:
    """The URL of a server that must prove who it is."""
    mode = parameters.get("sslmode", "verify-full")
    if mode not in _PROVEN:
        raise SettingsInvalid(
            f"With sslmode={mode} patient data would travel to a server that need not prove who it is",
            where=setting,
            hint="Use sslmode=verify-full and database.ca_file, or start with --insecure in a network that is safe by"
            " itself.",
        )
    if ca_file is None and "sslrootcert" not in parameters:
        raise SettingsInvalid(
            "There is nothing by which the database server could prove who it is",
            where="database.ca_file",
            hint="Set it to the certificates of the authority that signed the server's; or start with --insecure in a"
            " network that is safe by itself.",
        )
    if "sslmode" in parameters:
        return url
    return f"{url}{'&' if '?' in url else '?'}sslmode={mode}"


def _password(file: Path, setting: str) -> str:
    place = f"{setting} = {file}"
    password = read_secret(file, place)
    if not password or "\ufffd" in password:
        raise SettingsInvalid(
            "The file holds no password: one line of ASCII", where=place, hint="Write the password into it."
        )
    return password
