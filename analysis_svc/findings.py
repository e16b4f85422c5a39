"""The findings table: each request's result once, findings in lists and one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from analysis_svc.schema import FINDING, RESULT, TABLES
from imaging.analysis.v1 import analysis_pb2, analysis_service_pb2
from imaging.database import Database, DatabaseAccess, clock
from imaging.errors import InvalidArgument, NotFound
from imaging.rpc.page_token import decode_token, encode_token, page_size, query_digest

Result = analysis_service_pb2.AnalyzeSeriesResponse.Result

MOST_REQUEST_IDS: Final = 1000
_PAGE_BYTES: Final = 3_000_000
"""A page stays under the message limit of 4 MiB, plots included."""


class FindingsTable:
    """What analyses have found. Nothing is ever changed or doubled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, access: DatabaseAccess) -> FindingsTable:
        """The table in a database, made if it is not there.

        Raises
        ------
        FailedPrecondition, SettingsInvalid, Unavailable
            If the database cannot be used: see `Database.open`.
        """
        return cls(Database.open(access, TABLES))

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    async def result(self, request_id: str) -> Result | None:
        """What was stored for a request."""
        return await self._database.read(lambda connection: _stored(connection, request_id))

    async def store(self, result: Result, *, request_id: str, run: str, series: str, model_version: str) -> Result:
        """Keep the result and its findings, all or nothing; what is kept comes back.

        If the request has a result already, that one stays and comes back.
        """
        now = datetime.now(UTC)
        for finding in result.findings:
            finding.create_time.FromDatetime(now)
        study = study_of(series)

        def write(connection: Connection) -> None:
            connection.execute(
                insert(RESULT).values(
                    request_id=request_id,
                    run=run,
                    study=study,
                    series=series,
                    model=result.algorithm.rpartition(" ")[0],
                    model_version=model_version,
                    message=result.SerializeToString(deterministic=True),
                    create_time=clock.to_microseconds(now),
                )
            )
            rows = [
                {
                    "finding_id": finding.name.removeprefix("findings/"),
                    "request_id": request_id,
                    "position": position,
                    "run": run,
                    "study": study,
                    "message": finding.SerializeToString(deterministic=True),
                }
                for position, finding in enumerate(result.findings)
            ]
            if rows:
                connection.execute(insert(FINDING), rows)

        try:
            await self._database.write(write)
        except IntegrityError:
            kept = await self.result(request_id)
            if kept is None:
                raise
            return kept
        return result

    async def get(self, name: str) -> analysis_pb2.Finding:
        """The finding `findings/{id}`.

        Raises
        ------
        NotFound
            If it is not there.
        """
        query = select(FINDING.c.message).where(FINDING.c.finding_id == name.removeprefix("findings/"))
        message = await self._database.read(lambda connection: connection.execute(query).scalar())
        if message is None or not name.startswith("findings/"):
            raise NotFound("There is no such finding", where="name", hint="Names are told by ListFindings.")
        return analysis_pb2.Finding.FromString(message)

    async def list(self, request: analysis_service_pb2.ListFindingsRequest) -> tuple[list[analysis_pb2.Finding], str]:
        """A page of findings in the order in which they were made, and the token of the next page.

        Raises
        ------
        InvalidArgument
            If the page size or token is not usable.
        """
        if len(request.request_ids) > MOST_REQUEST_IDS:
            raise InvalidArgument(
                f"{len(request.request_ids)} request ids are asked for; the limit is {MOST_REQUEST_IDS}",
                where="request_ids",
                hint="Ask for a run or a study, or in parts.",
            )
        size = page_size(request.page_size)
        digest = query_digest(request.run, request.study, sorted(request.request_ids))
        query = select(FINDING.c.sequence, FINDING.c.message)
        if position := decode_token(request.page_token, digest, [int]):
            query = query.where(FINDING.c.sequence > position[0])
        if request.run:
            query = query.where(FINDING.c.run == request.run)
        if request.study:
            query = query.where(FINDING.c.study == request.study)
        if request.request_ids:
            query = query.where(FINDING.c.request_id.in_(list(request.request_ids)))
        query = query.order_by(FINDING.c.sequence).limit(size + 1)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        page: list[analysis_pb2.Finding] = []
        used, last = 0, 0
        for sequence, message in rows[:size]:
            used += len(message)
            if page and used > _PAGE_BYTES:
                break
            page.append(analysis_pb2.Finding.FromString(message))
            last = sequence
        return page, encode_token([last], digest) if len(page) < len(rows) else ""


def study_of(series: str) -> str:
    """`studies/{uid}` of `studies/{uid}/series/{uid}`."""
    return series.partition("/series/")[0]


def _stored(connection: Connection, request_id: str) -> Result | None:
    message = connection.execute(select(RESULT.c.message).where(RESULT.c.request_id == request_id)).scalar()
    return None if message is None else Result.FromString(message)
