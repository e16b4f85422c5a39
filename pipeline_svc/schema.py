"""The tables of the pipeline service: runs, their stages, and how far the change log was followed."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 1
"""Grows with every change of a table."""

METADATA = MetaData()

RUNS = Table(
    "runs",
    METADATA,
    # The order of creation: runs are taken up in it, and listed backwards.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("study", String(128), nullable=False),
    Column("manifest_version", BigInteger, nullable=False),
    # The recipe that a user asked for by name; empty where the first that fits is taken.
    Column("asked_recipe", String(64), nullable=False),
    Column("recipe", String(64), nullable=False),
    Column("recipe_version", Integer, nullable=False),
    # The text at the time of creation: a run ends by the recipe that it began with.
    Column("recipe_source", Text, nullable=False),
    # 0 while the study is there; the revision of the change that deleted it, so that the same study sent again may run.
    Column("deleted_at_revision", BigInteger, nullable=False, default=0),
    Column("state", Integer, nullable=False),
    Column("is_planned", Boolean, nullable=False, default=False),
    Column("reason", Text, nullable=False, default=""),
    Column("traceparent", String(64), nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("end_time_us", BigInteger),
    Column("superseded_by", String(64), nullable=False, default=""),
    Column("report", String(128), nullable=False, default=""),
    UniqueConstraint("study", "manifest_version", "recipe", "deleted_at_revision", name="one_run_a_recipe"),
    UniqueConstraint("study", "manifest_version", "asked_recipe", "deleted_at_revision", name="one_run_a_question"),
    Index("runs_by_state", "state", "number"),
    Index("runs_by_study", "study", "number"),
)

STAGES = Table(
    "stages",
    METADATA,
    Column("run_id", String(64), ForeignKey("runs.id"), primary_key=True),
    # Counts from 1, in the order of work.
    Column("position", Integer, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("uses", String(128), nullable=False),
    Column("parameters_json", Text, nullable=False),
    Column("is_optional", Boolean, nullable=False),
    Column("input", String(128), nullable=False),
    Column("documents_json", Text, nullable=False),
    # What was selected of the study; `series` is what the stage works on: this, or the output of an earlier stage.
    Column("selected_series", String(256), nullable=False),
    Column("sop_instance_uids_json", Text, nullable=False),
    Column("series", String(256), nullable=False),
    Column("state", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("start_time_us", BigInteger),
    Column("end_time_us", BigInteger),
    Column("output_series", String(256), nullable=False, default=""),
    Column("outputs_json", Text, nullable=False, default="[]"),
    Column("finding_count", Integer, nullable=False, default=0),
    Column("error", Text, nullable=False, default=""),
    # A list of imaging.stage.v1.Refusal in the JSON form of Protobuf.
    Column("refusals_json", Text, nullable=False, default="[]"),
    Column("algorithm", String(256), nullable=False, default=""),
    Column("report", String(128), nullable=False, default=""),
)

CURSOR = Table(
    "cursor",
    METADATA,
    # The one row has 1.
    Column("id", Integer, primary_key=True),
    # All changes up to this revision of storage's log have been acted on.
    Column("revision", BigInteger, nullable=False),
)
