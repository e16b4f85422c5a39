"""The tables of the gateway: what is still to be told to others. Times are microseconds since 1970 UTC."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, UniqueConstraint

from imaging.database import Tables
from imaging.database.column_types import counted, text

METADATA: Final = MetaData()
TABLES: Final = Tables(METADATA, Path(__file__).with_name("migrations"))

FAILED_SEND: Final = Table(
    "failed_send",
    METADATA,
    # The order in which they failed first; lists and their page tokens go by it.
    Column("sequence", counted(), primary_key=True, autoincrement=True),
    Column("failed_send_id", text(), nullable=False, unique=True),
    Column("destination", text(), nullable=False),  # destinations/{id}
    Column("instance", text(), nullable=False),  # its name
    Column("attempts", Integer, nullable=False),
    Column("error", LargeBinary, nullable=False),  # google.rpc.Status
    Column("run", text(), nullable=False),
    Column("stage", text(), nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    # When it is tried again by itself; null: given up.
    Column("next_try_time", BigInteger),
    # Until then somebody is at it, and nobody else tries it.
    Column("busy_until", BigInteger),
    UniqueConstraint("destination", "instance", name="one_a_destination_and_instance"),
    Index("failed_send_by_next_try", "next_try_time"),
)

COMMITMENT: Final = Table(
    "commitment",
    METADATA,
    # Who asked, and the transaction that the report names: asked again, it is the same one.
    Column("ae_title", text(), primary_key=True),
    Column("transaction_uid", text(), primary_key=True),
    Column("instances", LargeBinary, nullable=False),  # class and UID of each, as deflated JSON
    Column("attempts", Integer, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    # When it is reported by an association of ours. Put off while the one that asked is there, or a replica is at it.
    Column("next_try_time", BigInteger, nullable=False),
    Index("commitment_by_next_try", "next_try_time"),
)
