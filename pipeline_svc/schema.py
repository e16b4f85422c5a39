"""The tables of the pipeline service: runs, their stages, alerts, how far the change log was followed, and by whom."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from imaging.database import Tables
from imaging.database.column_types import counted, text
from imaging.database.lease import lease_table

METADATA = MetaData()
TABLES = Tables(METADATA, Path(__file__).with_name("migrations"))

RUNS = Table(
    "runs",
    METADATA,
    # The order of creation: runs are taken up in it, and listed backwards.
    Column("number", counted(), primary_key=True, autoincrement=True),
    Column("id", text(64), nullable=False, unique=True),
    Column("study", text(128), nullable=False),
    Column("manifest_version", BigInteger, nullable=False),
    # The recipe that a user asked for by name; empty where the first that fits is taken.
    Column("asked_recipe", text(64), nullable=False),
    Column("recipe", text(64), nullable=False),
    Column("recipe_version", Integer, nullable=False),
    # The text at the time of creation: a run ends by the recipe that it began with.
    Column("recipe_source", text(), nullable=False),
    # 0 while the study is there; the revision of the change that deleted it, so that the same study sent again may run.
    Column("deleted_at_revision", BigInteger, nullable=False, default=0),
    Column("state", Integer, nullable=False),
    Column("is_planned", Boolean, nullable=False, default=False),
    Column("reason", text(), nullable=False, default=""),
    Column("traceparent", text(64), nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("end_time_us", BigInteger),
    Column("superseded_by", text(64), nullable=False, default=""),
    Column("report", text(128), nullable=False, default=""),
    UniqueConstraint("study", "manifest_version", "recipe", "deleted_at_revision", name="one_run_a_recipe"),
    UniqueConstraint("study", "manifest_version", "asked_recipe", "deleted_at_revision", name="one_run_a_question"),
    Index("runs_by_state", "state", "number"),
    Index("runs_by_study", "study", "number"),
)

STAGES = Table(
    "stages",
    METADATA,
    Column("run_id", text(64), ForeignKey("runs.id"), primary_key=True),
    # Counts from 1, in the order of work.
    Column("position", Integer, primary_key=True),
    Column("name", text(128), nullable=False),
    Column("kind", text(16), nullable=False),
    Column("uses", text(128), nullable=False),
    Column("parameters_json", text(), nullable=False),
    Column("is_optional", Boolean, nullable=False),
    Column("input", text(128), nullable=False),
    Column("documents_json", text(), nullable=False),
    # What was selected of the study; `series` is what the stage works on: this, or the output of an earlier stage.
    Column("selected_series", text(256), nullable=False),
    Column("sop_instance_uids_json", text(), nullable=False),
    Column("series", text(256), nullable=False),
    Column("state", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    # `host:port` of the replica of its service that was asked last, and may still be at it.
    Column("replica", text(512), nullable=False, server_default=""),
    Column("start_time_us", BigInteger),
    Column("end_time_us", BigInteger),
    Column("output_series", text(256), nullable=False, default=""),
    Column("outputs_json", text(), nullable=False, default="[]"),
    Column("finding_count", Integer, nullable=False, default=0),
    Column("error", text(), nullable=False, default=""),
    # A list of imaging.stage.v1.Refusal in the JSON form of Protobuf.
    Column("refusals_json", text(), nullable=False, default="[]"),
    Column("algorithm", text(256), nullable=False, default=""),
    Column("report", text(128), nullable=False, default=""),
    # A list of imaging.stage.v1.ObjectCheck in the JSON form of Protobuf.
    Column("checks_json", text(), nullable=False, server_default="[]"),
)

CURSOR = Table(
    "cursor",
    METADATA,
    # The one row has 1, and is there from the beginning.
    Column("id", Integer, primary_key=True),
    # All changes up to this revision of storage's log have been acted on.
    Column("revision", BigInteger, nullable=False),
)

ALERTS = Table(
    "alerts",
    METADATA,
    # The revision that watches go by.
    Column("number", counted(), primary_key=True, autoincrement=True),
    # Follows from run, rule and finding: raised again, it is the same one.
    Column("id", text(64), nullable=False, unique=True),
    Column("rule", text(64), nullable=False),
    Column("run_id", text(64), nullable=False),
    Column("study", text(128), nullable=False),
    # Of imaging.pipeline.v1.Alert, what never changes.
    Column("message", LargeBinary, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("acknowledge_time_us", BigInteger),
    Index("alerts_by_study", "study", "number"),
)

ALERT_DELIVERIES = Table(
    "alert_deliveries",
    METADATA,
    Column("alert_id", text(64), ForeignKey("alerts.id"), primary_key=True),
    Column("webhook", text(64), primary_key=True),
    Column("state", Integer, nullable=False),  # AlertDelivery.State
    Column("attempts", Integer, nullable=False),
    Column("error", text(), nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("update_time_us", BigInteger),
    # Null: it is told no more. Put off while a replica is at it.
    Column("next_try_us", BigInteger),
    Index("alert_deliveries_by_next_try", "next_try_us"),
)

LEASE = lease_table(METADATA)
"""Who of several replicas follows the change log and carries runs."""
