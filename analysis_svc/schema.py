"""The tables of the analysis service. Times are microseconds since 1970 UTC; texts are never null."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table

from imaging.database import Tables
from imaging.database.column_types import counted, text

METADATA: Final = MetaData()
TABLES: Final = Tables(METADATA, Path(__file__).with_name("migrations"))

RESULT: Final = Table(
    "result",
    METADATA,
    # One effect of each request: the key decides between two that end at the same time.
    Column("request_id", text(), primary_key=True),
    Column("run", text(), nullable=False),
    Column("study", text(), nullable=False),
    Column("series", text(), nullable=False),
    Column("model", text(), nullable=False),
    Column("model_version", text(), nullable=False),
    Column("message", LargeBinary, nullable=False),  # AnalyzeSeriesResponse.Result
    Column("create_time", BigInteger, nullable=False),
)

FINDING: Final = Table(
    "finding",
    METADATA,
    # The order in which findings were made; lists and their page tokens go by it.
    Column("sequence", counted(), primary_key=True, autoincrement=True),
    Column("finding_id", text(), nullable=False, unique=True),
    Column("request_id", text(), ForeignKey("result.request_id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("run", text(), nullable=False),
    Column("study", text(), nullable=False),
    Column("message", LargeBinary, nullable=False),  # Finding
    Index("finding_by_request", "request_id", "position", unique=True),
    Index("finding_by_run", "run", "sequence"),
    Index("finding_by_study", "study", "sequence"),
)
