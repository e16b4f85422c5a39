"""The tables of the reporting service. Times are microseconds since 1970 UTC; texts are never null."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
)

from imaging.database import Tables
from imaging.database.column_types import counted, text

METADATA: Final = MetaData()
TABLES: Final = Tables(METADATA, Path(__file__).with_name("migrations"))

REPORT: Final = Table(
    "report",
    METADATA,
    # The order in which reports were begun; lists and their page tokens go by it.
    Column("sequence", counted(), primary_key=True, autoincrement=True),
    Column("report_id", text(), nullable=False, unique=True),
    # One report a request: the constraint decides between two that come at the same time.
    Column("request_id", text(), nullable=False, unique=True),
    Column("run", text(), nullable=False),
    Column("study", text(), nullable=False),
    # Taken when a report is begun, since it stands in the documents; one that is never finished leaves a gap.
    Column("version", Integer, nullable=False),
    Column("predecessor_id", text(), nullable=False),
    # Empty until all documents are there.
    Column("message", LargeBinary, nullable=False),  # Report
    Column("instances", text(), nullable=False),  # names, one a line
    Column("create_time", BigInteger, nullable=False),
    Index("report_by_study", "study", "version", unique=True),
)

FINALIZATION: Final = Table(
    "finalization",
    METADATA,
    # One a version, never changed: also the audit of who made what final, when and from where.
    Column("report_id", text(), ForeignKey("report.report_id"), primary_key=True),
    Column("study", text(), nullable=False),
    Column("version", Integer, nullable=False),
    Column("observer", text(), nullable=False),
    Column("organization", text(), nullable=False),
    Column("peer", text(), nullable=False),
    # Empty for the first final version of a study. The constraint decides between two at the same time.
    Column("replaces_id", text(), nullable=False),
    Column("create_time", BigInteger, nullable=False),
    # Resource name of the verified structured report; empty until it is stored.
    Column("instance", text(), nullable=False),
    Index("finalization_by_study", "study", "replaces_id", unique=True),
)

DOCUMENT: Final = Table(
    "document",
    METADATA,
    Column("report_id", text(), ForeignKey("report.report_id"), nullable=False),
    Column("format", Integer, nullable=False),  # DocumentFormat
    Column("number", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("report_id", "format", "number"),
)
