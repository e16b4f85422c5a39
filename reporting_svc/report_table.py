"""The reports of all studies: versions taken, documents kept, nothing ever changed or doubled."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from imaging.database import Database, DatabaseAccess, clock
from imaging.errors import NotFound
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2
from imaging.rpc.page_token import decode_token, encode_token, page_size, query_digest
from reporting_svc.content.report_content import Predecessor
from reporting_svc.schema import DOCUMENT, REPORT, TABLES

VERIFIED_FORMATS: Final = (
    reporting_pb2.DOCUMENT_FORMAT_SR,
    reporting_pb2.DOCUMENT_FORMAT_FHIR,
    reporting_pb2.DOCUMENT_FORMAT_PDF,
    reporting_pb2.DOCUMENT_FORMAT_HTML,
    reporting_pb2.DOCUMENT_FORMAT_JSON,
)
"""Documents that tell whether somebody stands for them: of a final version there is one more of each."""

_CONTENT: Final = (reporting_pb2.DOCUMENT_FORMAT_UNSPECIFIED, 1)
"""Format and number under which what the report says is kept: no document that anybody asks for."""

Result = reporting_service_pb2.CreateReportResponse.Result


@dataclass(frozen=True, slots=True)
class Reservation:
    """The place of a report among those of its study."""

    report_id: str
    version: int
    predecessor: Predecessor | None

    @property
    def name(self) -> str:
        """`reports/{id}`."""
        return f"reports/{self.report_id}"


@dataclass(frozen=True, slots=True)
class DocumentContent:
    """A document with its bytes."""

    document: reporting_pb2.Document
    content: bytes

    @classmethod
    def of(
        cls,
        document_format: reporting_pb2.DocumentFormat.ValueType,
        media_type: str,
        file_name: str,
        content: bytes,
        *,
        number: int = 1,
        instance: str = "",
    ) -> DocumentContent:
        """The document of some bytes; `instance`: the resource name under which storage has them."""
        document = reporting_pb2.Document(
            format=document_format,
            media_type=media_type,
            file_name=file_name,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            instance=instance,
            number=number,
        )
        return cls(document, content)


class ReportTable:
    """Reports and their documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, access: DatabaseAccess) -> ReportTable:
        """The table in a database, made if it is not there.

        Raises
        ------
        FailedPrecondition, SettingsInvalid, Unavailable
            If the database cannot be used: see `Database.open`.
        """
        return cls(Database.open(access, TABLES))

    @property
    def database(self) -> Database:
        """Where they are kept."""
        return self._database

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    async def result(self, request_id: str) -> Result | None:
        """The finished report of a request."""
        return await self._database.read(lambda connection: _result(connection, request_id))

    async def reserve(self, request_id: str, run: str, study: str) -> Reservation:
        """The place of the report of this request; the same one for every call.

        The version is one more than the last that was taken; the predecessor is the newest finished report.
        """
        report_id = hashlib.sha256(request_id.encode()).hexdigest()[:32]

        def take(connection: Connection) -> None:
            newest = connection.execute(select(func.max(REPORT.c.version)).where(REPORT.c.study == study)).scalar()
            finished = connection.execute(
                select(REPORT.c.report_id)
                .where(REPORT.c.study == study, REPORT.c.message != b"")
                .order_by(REPORT.c.version.desc())
                .limit(1)
            ).scalar()
            connection.execute(
                insert(REPORT).values(
                    report_id=report_id,
                    request_id=request_id,
                    run=run,
                    study=study,
                    version=(newest or 0) + 1,
                    predecessor_id=finished or "",
                    message=b"",
                    instances="",
                    create_time=clock.now(),
                )
            )

        kept = await self._database.read(lambda connection: _reservation(connection, request_id))
        while kept is None:
            # Somebody may have taken the request or the version in the same moment: then look again.
            with suppress(IntegrityError):
                await self._database.write(take)
            kept = await self._database.read(lambda connection: _reservation(connection, request_id))
        return kept

    async def finish(
        self,
        report: reporting_pb2.Report,
        documents: Sequence[DocumentContent],
        instances: Sequence[str],
        content: bytes = b"",
    ) -> Result:
        """Keep the report with all of its documents, and what it says, at once; what is kept comes back.

        If it was finished already, that stays.
        """
        report_id = report.name.removeprefix("reports/")
        report.create_time.FromDatetime(datetime.now(UTC))

        def write(connection: Connection) -> None:
            changed = connection.execute(
                update(REPORT)
                .where(REPORT.c.report_id == report_id, REPORT.c.message == b"")
                .values(message=report.SerializeToString(deterministic=True), instances="\n".join(instances))
            )
            if changed.rowcount and documents:
                keep_documents(connection, report_id, documents)
            if changed.rowcount and content:
                row = {"report_id": report_id, "format": _CONTENT[0], "number": _CONTENT[1], "content": content}
                connection.execute(insert(DOCUMENT), row)

        await self._database.write(write)
        kept = await self.result(report.request_id)
        return kept or Result(report=report, instances=instances)

    async def get(self, name: str) -> reporting_pb2.Report:
        """The finished report `reports/{id}`.

        Raises
        ------
        NotFound
            If it is not there.
        """
        query = select(REPORT.c.message).where(REPORT.c.report_id == name.removeprefix("reports/"))
        message = await self._database.read(lambda connection: connection.execute(query).scalar())
        if not message or not name.startswith("reports/"):
            raise NotFound("There is no such report", where="name", hint="Names are told by ListReports.")
        return _report(message)

    async def document(self, name: str, document_format: int, number: int) -> DocumentContent:
        """A document of a report; number 0 means the verified one where there is one, else the first.

        Raises
        ------
        NotFound
            If there is no such report or document.
        """
        report = await self.get(name)
        if number == 0:
            of_format = [each.number for each in report.documents if each.format == document_format]
            number = max(of_format, default=1) if document_format in VERIFIED_FORMATS else 1
        for document in report.documents:
            if document.format == document_format and document.number == number:
                break
        else:
            raise NotFound(
                "The report has no such document",
                where=f"{name}, format {document_format}, number {number}",
                hint="Its documents stand in the report; a report holds only the forms that were asked for.",
            )
        content = await self._content(name, document_format, number)
        assert content is not None
        return DocumentContent(document, content)

    async def kept_content(self, name: str) -> bytes | None:
        """What a report says, as `finish` got it; None for one of a release that did not keep it."""
        return await self._content(name, *_CONTENT)

    async def _content(self, name: str, document_format: int, number: int) -> bytes | None:
        query = select(DOCUMENT.c.content).where(
            DOCUMENT.c.report_id == name.removeprefix("reports/"),
            DOCUMENT.c.format == document_format,
            DOCUMENT.c.number == number,
        )
        return await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    async def list(self, request: reporting_service_pb2.ListReportsRequest) -> tuple[list[reporting_pb2.Report], str]:
        """A page of finished reports, newest first, and the token of the next page.

        Raises
        ------
        InvalidArgument
            If the page size or token is not usable.
        """
        size, digest = page_size(request.page_size), query_digest(request.study)
        query = select(REPORT.c.sequence, REPORT.c.message).where(REPORT.c.message != b"")
        if request.study:
            query = query.where(REPORT.c.study == request.study)
        if position := decode_token(request.page_token, digest, [int]):
            query = query.where(REPORT.c.sequence < position[0])
        query = query.order_by(REPORT.c.sequence.desc()).limit(size + 1)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        page = [_report(message) for _, message in rows[:size]]
        return page, encode_token([rows[size - 1][0]], digest) if len(rows) > size else ""


def keep_documents(connection: Connection, report_id: str, documents: Sequence[DocumentContent]) -> None:
    """Add documents, at least one, to those of a report."""
    rows = [
        {
            "report_id": report_id,
            "format": each.document.format,
            "number": each.document.number,
            "content": each.content,
        }
        for each in documents
    ]
    connection.execute(insert(DOCUMENT), rows)


def _report(message: bytes) -> reporting_pb2.Report:
    """A report as it is kept; those of releases without states are drafts."""
    report = reporting_pb2.Report.FromString(message)
    report.state = report.state or reporting_pb2.REPORT_STATE_DRAFT
    return report


def _result(connection: Connection, request_id: str) -> Result | None:
    row = connection.execute(
        select(REPORT.c.message, REPORT.c.instances).where(REPORT.c.request_id == request_id)
    ).one_or_none()
    if row is None or not row.message:
        return None
    return Result(report=_report(row.message), instances=row.instances.split())


def _reservation(connection: Connection, request_id: str) -> Reservation | None:
    row = connection.execute(
        select(REPORT.c.report_id, REPORT.c.version, REPORT.c.predecessor_id).where(REPORT.c.request_id == request_id)
    ).one_or_none()
    if row is None:
        return None
    before = connection.execute(
        select(REPORT.c.version, REPORT.c.message).where(REPORT.c.report_id == row.predecessor_id)
    ).one_or_none()
    if before is None:
        return Reservation(row.report_id, row.version, None)
    documents = _report(before.message).documents
    sr = [each.instance for each in documents if each.format == reporting_pb2.DOCUMENT_FORMAT_SR]
    predecessor = Predecessor(f"reports/{row.predecessor_id}", before.version, sr[0] if sr else "")
    return Reservation(row.report_id, row.version, predecessor)
