"""Who made which version of a report final, and when: rows that are written once."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from imaging.database import Database, clock
from imaging.errors import FailedPrecondition
from imaging.reporting.v1 import reporting_pb2
from reporting_svc.dicom.verified_report import Verification
from reporting_svc.report_table import DocumentContent, keep_documents
from reporting_svc.schema import FINALIZATION, REPORT


class Finalizations:
    """The table of finalizations. A row without an instance was begun and is ended by the next call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, report: reporting_pb2.Report, observer: str, organization: str, peer: str) -> Verification:
        """The verification of a version: a new one, or the one that is there, whoever asks.

        Raises
        ------
        FailedPrecondition
            If a later version of the report of the study is final already.
        """
        report_id = report.name.removeprefix("reports/")

        def take(connection: Connection) -> None:
            newest = _newest(connection, report.study)
            if newest is not None and newest["version"] > report.version:
                raise FailedPrecondition(
                    f"Version {newest['version']} of the report of this study is final already",
                    where=report.name,
                    hint="Only a later version can amend it.",
                )
            connection.execute(
                insert(FINALIZATION).values(
                    report_id=report_id,
                    study=report.study,
                    version=report.version,
                    observer=observer,
                    organization=organization,
                    peer=peer,
                    replaces_id=newest["report_id"] if newest is not None else "",
                    create_time=clock.now(),
                    instance="",
                )
            )

        while True:
            kept = await self._database.read(lambda connection: _verification(connection, report_id))
            if kept is not None:
                return kept
            # Somebody may have made this version or an earlier one final in the same moment: then look again.
            with suppress(IntegrityError):
                await self._database.write(take)

    async def finish(self, verification: Verification, documents: list[DocumentContent], instance: str) -> None:
        """Keep the verified documents; if that was done already, they stay."""

        def write(connection: Connection) -> None:
            here = FINALIZATION.c.report_id == verification.report_id
            changed = connection.execute(
                update(FINALIZATION).where(here, FINALIZATION.c.instance == "").values(instance=instance)
            )
            if not changed.rowcount:
                return
            stored = select(REPORT.c.message).where(REPORT.c.report_id == verification.report_id)
            report = reporting_pb2.Report.FromString(connection.execute(stored).scalar_one())
            report.documents.extend(each.document for each in documents)
            complete(report, verification)
            connection.execute(
                update(REPORT)
                .where(REPORT.c.report_id == verification.report_id)
                .values(message=report.SerializeToString(deterministic=True))
            )
            keep_documents(connection, verification.report_id, documents)

        await self._database.write(write)


def complete(report: reporting_pb2.Report, verification: Verification) -> None:
    """Write into a report what was said of it."""
    amended, final = reporting_pb2.REPORT_STATE_AMENDED, reporting_pb2.REPORT_STATE_FINAL
    report.state = amended if verification.replaces else final
    report.replaces = verification.replaces
    report.verification.observer = verification.observer
    report.verification.organization = verification.organization
    report.verification.time.FromDatetime(verification.time)


def _row(connection: Connection, report_id: str) -> RowMapping | None:
    query = select(FINALIZATION).where(FINALIZATION.c.report_id == report_id)
    return connection.execute(query).mappings().one_or_none()


def _newest(connection: Connection, study: str) -> RowMapping | None:
    query = select(FINALIZATION).where(FINALIZATION.c.study == study).order_by(FINALIZATION.c.version.desc()).limit(1)
    return connection.execute(query).mappings().one_or_none()


def _verification(connection: Connection, report_id: str) -> Verification | None:
    row = _row(connection, report_id)
    if row is None:
        return None
    replaced = _row(connection, row["replaces_id"])
    return Verification(
        report_id=row["report_id"],
        observer=row["observer"],
        organization=row["organization"],
        time=clock.from_microseconds(row["create_time"]),
        replaces=f"reports/{row['replaces_id']}" if row["replaces_id"] else "",
        replaced_sr=replaced["instance"] if replaced is not None else "",
        replaced_version=replaced["version"] if replaced is not None else 0,
    )
