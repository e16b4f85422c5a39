"""List the studies in order, with a trigram index of what they are searched by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from imaging.database.column_types import counted, text
from imaging.errors import FailedPrecondition

revision = "0005"
down_revision = "0004"

_INDEXED = (
    "patient_name_key",
    "referring_physician_name_key",
    "patient_id",
    "accession_number",
    "study_id",
    "study_description",
    "patient_sex",
    "modalities",
)
_NAMES = ", ".join(_INDEXED)


def upgrade() -> None:
    op.create_table(
        "study_list",
        sa.Column("position", counted(), autoincrement=False, nullable=False),
        sa.Column("study_instance_uid", text(64), nullable=False),
        sa.Column("patient_id", text(), nullable=False),
        sa.Column("issuer_of_patient_id", text(), nullable=False),
        sa.Column("patient_name_key", text(), nullable=False),
        sa.Column("patient_birth_date", text(), nullable=False),
        sa.Column("patient_sex", text(), nullable=False),
        sa.Column("study_date", text(), nullable=False),
        sa.Column("study_time", text(), nullable=False),
        sa.Column("accession_number", text(), nullable=False),
        sa.Column("study_id", text(), nullable=False),
        sa.Column("study_description", text(), nullable=False),
        sa.Column("referring_physician_name_key", text(), nullable=False),
        sa.Column("modalities", text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("study_instance_uid"),
    )
    is_sqlite = op.get_context().dialect.name == "sqlite"
    _fill(is_sqlite)
    op.create_index("study_list_by_patient", "study_list", ["patient_id", "position"])
    op.create_index("study_list_by_accession", "study_list", ["accession_number", "position"])
    op.create_index("study_list_by_birth_date", "study_list", ["patient_birth_date", "position"])
    if is_sqlite:
        _index_by_fts5()
    else:
        _index_by_pg_trgm()
    for index in ("study_by_date", "study_by_patient", "study_by_accession"):
        op.drop_index(index, "study")
    for column in ("patient_name_key", "referring_physician_name_key"):
        op.drop_column("study", column)
    op.drop_index("instance_by_series", "instance")
    op.execute(
        "CREATE INDEX instance_by_place ON instance (study_instance_uid, series_instance_uid,"
        " coalesce(instance_number, 1099511627776), sop_instance_uid)"
    )


def _fill(is_sqlite: bool) -> None:
    """As `search/study_list.py` does for each study; of one second, the study that came last stands first."""
    joined = "group_concat(modality, '\\')" if is_sqlite else "string_agg(modality, '\\' ORDER BY modality)"
    as_they_are = (
        "patient_id, issuer_of_patient_id, patient_name_key, patient_birth_date, patient_sex, study_date, study_time,"
        " accession_number, study_id, study_description, referring_physician_name_key"
    )
    cut = ", ".join(f"substr({name}, 1, 512)" for name in as_they_are.replace(",", "").split())
    day = "(({year} * 12 + {month} - 1) * 31 + {day} - 1)".format(
        **{name: _number("study_date", *at) for name, at in {"year": (1, 4), "month": (5, 2), "day": (7, 2)}.items()}
    )
    hour, minute, second = (_number("study_time", at, 2) for at in (1, 3, 5))
    number = f"CASE study_date WHEN '' THEN 0 ELSE {day} * 86401 + {hour} * 3600 + {minute} * 60 + {second} END"
    op.execute(
        f"INSERT INTO study_list (position, study_instance_uid, {as_they_are}, modalities)"
        " SELECT -(number * 16777216)"
        " - row_number() OVER (PARTITION BY number ORDER BY create_time, numbered.study_instance_uid),"
        f" numbered.study_instance_uid, {cut}, coalesce('\\' || modalities || '\\', '')"
        f" FROM (SELECT study.*, {number} AS number FROM study WHERE instance_count > 0) AS numbered"
        f" LEFT JOIN (SELECT study_instance_uid, {joined} AS modalities FROM"
        " (SELECT DISTINCT study_instance_uid, modality FROM series"
        " WHERE instance_count > 0 AND modality <> '' ORDER BY study_instance_uid, modality) AS each_once"
        " GROUP BY study_instance_uid) AS of_series ON of_series.study_instance_uid = numbered.study_instance_uid"
        " ORDER BY 1"
    )


def _number(column: str, first: int, length: int) -> str:
    return f"CAST('0' || substr({column}, {first}, {length}) AS BIGINT)"


def _index_by_fts5() -> None:
    """The row ids of the index are the places in the list: its hits come in that order.

    The mark char(2) stands where a value begins, and twice where it ends, so that a run of one or two characters begins
    a trigram everywhere; names have equals signs there already, and modalities backslashes.
    """

    def marked(name: str) -> str:
        begin = "" if name.endswith("_key") or name == "modalities" else "char(2) || "
        return f"CASE {name} WHEN '' THEN '' ELSE {begin}{name} || char(2, 2) END AS {name}"

    entry = f"position, {_NAMES} FROM study_text_source WHERE position ="
    add = f"INSERT INTO study_text (rowid, {_NAMES}) SELECT {entry} new.position;"
    remove = f"INSERT INTO study_text (study_text, rowid, {_NAMES}) SELECT 'delete', {entry} old.position;"
    for statement in (
        f"CREATE VIEW study_text_source AS SELECT position, {', '.join(map(marked, _INDEXED))} FROM study_list",
        f"CREATE VIRTUAL TABLE study_text USING fts5({_NAMES}, content='study_text_source', content_rowid='position',"
        " tokenize='trigram case_sensitive 1', detail='column', columnsize=0)",
        # Fewer and smaller merges for each study that comes: half of the time, and a tenth of the longest stop.
        "INSERT INTO study_text (study_text, rank) VALUES ('automerge', 8)",
        "INSERT INTO study_text (study_text, rank) VALUES ('crisismerge', 64)",
        f"INSERT INTO study_text (rowid, {_NAMES}) SELECT position, {_NAMES} FROM study_text_source ORDER BY position",
        "CREATE VIRTUAL TABLE study_text_terms USING fts5vocab('study_text', 'instance')",
        f"CREATE TRIGGER study_text_insert AFTER INSERT ON study_list BEGIN {add} END",
        f"CREATE TRIGGER study_text_delete BEFORE DELETE ON study_list BEGIN {remove} END",
        f"CREATE TRIGGER study_text_before_update BEFORE UPDATE ON study_list BEGIN {remove} END",
        f"CREATE TRIGGER study_text_after_update AFTER UPDATE ON study_list BEGIN {add} END",
    ):
        op.get_bind().exec_driver_sql(statement)


def _index_by_pg_trgm() -> None:
    bind = op.get_bind()
    query = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'"
    schema = bind.exec_driver_sql(query).scalar()
    if schema is None:
        try:
            with bind.begin_nested():
                bind.exec_driver_sql("CREATE EXTENSION pg_trgm SCHEMA public")
        except sa.exc.DBAPIError:
            raise FailedPrecondition(
                "PostgreSQL has no pg_trgm in the database, and it cannot be made",
                hint="Install PostgreSQL's contrib modules; let somebody run CREATE EXTENSION pg_trgm there.",
            ) from None
        schema = "public"
    columns = ", ".join(f"{name} {schema}.gin_trgm_ops" for name in _INDEXED)
    op.execute(f"CREATE INDEX study_text ON study_list USING gin ({columns})")
