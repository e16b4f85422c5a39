"""Schema versions: a database is made, used as it is, or refused before anything in it is touched."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, MetaData, Table, inspect, select

from imaging.errors import FailedPrecondition

_OWN = MetaData()
_VERSION = Table("schema_version", _OWN, Column("version", Integer, nullable=False))


def ensure_schema(connection: Connection, metadata: MetaData, schema_version: int, *, where: str) -> None:
    """Make the tables in an empty database; leave one of the same version as it is.

    Raises
    ------
    FailedPrecondition
        If the database has another version, or tables but no version.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        metadata.create_all(connection)
        _OWN.create_all(connection)
        connection.execute(_VERSION.insert().values(version=schema_version))
        return
    found = connection.execute(select(_VERSION.c.version)).scalar() if _VERSION.name in tables else None
    if found == schema_version:
        return
    if found is None:
        raise FailedPrecondition(
            "The database holds tables of another program",
            where=where,
            hint="Choose another data directory.",
        )
    older = found < schema_version
    raise FailedPrecondition(
        f"The database has schema version {found}, this program needs {schema_version}",
        where=where,
        hint=(
            "Export with the older release and store again with this one, or choose another data directory."
            if older
            else "Start the release that wrote it, or a newer one; or choose another data directory."
        ),
        metadata={"found": str(found), "needed": str(schema_version)},
    )
