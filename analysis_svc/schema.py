"""The tables of the analysis service. Times are microseconds since 1970 UTC; texts are never null."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table

SCHEMA_VERSION: Final = 1
METADATA: Final = MetaData()

RESULT: Final = Table(
    "result",
    METADATA,
    # One effect of each request: the key decides between two that end at the same time.
    Column("request_id", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("study", String, nullable=False),
    Column("series", String, nullable=False),
    Column("model", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("message", LargeBinary, nullable=False),  # AnalyzeSeriesResponse.Result
    Column("create_time", BigInteger, nullable=False),
)

FINDING: Final = Table(
    "finding",
    METADATA,
    # The order in which findings were made; lists and their page tokens go by it.
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("finding_id", String, nullable=False, unique=True),
    Column("request_id", String, ForeignKey("result.request_id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("run", String, nullable=False),
    Column("study", String, nullable=False),
    Column("message", LargeBinary, nullable=False),  # Finding
    Index("finding_by_request", "request_id", "position", unique=True),
    Index("finding_by_run", "run", "sequence"),
    Index("finding_by_study", "study", "sequence"),
)
