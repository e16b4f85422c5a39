"""The ledger between acceptor and gateway: it ends in order, whatever dies or is away."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway_svc.dimse.commitment import CommitmentRequest
from gateway_svc.dimse.ledger import Ledger, keep_ledger
from gateway_svc.dimse.owed_reports import HELD_FOR, Owed, OwedReports
from gateway_svc.schema import TABLES
from imaging.database import Database
from imaging.database.access import DatabaseAccess
from imaging.errors import Unavailable

REQUEST = CommitmentRequest("1.2.3", (("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1.1"),))


def database_in(folder: Path) -> Database:
    """The gateway's."""
    return Database.open(DatabaseAccess(f"sqlite:///{folder}/gateway.db"), TABLES)


async def test_without_its_database_nothing_is_promised_and_the_ledger_ends_in_order(tmp_path: Path) -> None:
    database, held = database_in(tmp_path), set[Owed]()
    own_end, its_end = socket.socketpair()
    keeping = asyncio.create_task(keep_ledger(own_end, OwedReports(database), held))
    ledger = await Ledger.open(its_end)
    owed = await ledger.keep("CT", REQUEST)
    assert held == {owed}
    await database.close()
    with pytest.raises(Unavailable, match="cannot be written down"):
        await ledger.keep("MR", REQUEST)
    await ledger.close()
    await keeping
    assert not held
    # What could not be released is due when nobody has held it for a while.
    reopened = database_in(tmp_path)
    assert await OwedReports(reopened).take_due(HELD_FOR) == []
    later = datetime.now(UTC) + HELD_FOR
    assert await OwedReports(reopened, lambda: later).take_due(HELD_FOR) == [(owed, REQUEST)]
    await reopened.close()


async def test_an_acceptor_may_die_in_the_middle_of_a_line(tmp_path: Path) -> None:
    database, held = database_in(tmp_path), set[Owed]()
    reports = OwedReports(database)
    own_end, its_end = socket.socketpair()
    keeping = asyncio.create_task(keep_ledger(own_end, reports, held))
    _, writer = await asyncio.open_unix_connection(sock=its_end)
    line = (
        b'{"number": 1, "do": "keep", "ae_title": "CT", "transaction_uid": "1.2.3", "references": [["1.2", "1.2.3"]]}\n'
    )
    writer.write(line + line[:50])
    writer.close()
    await keeping
    assert not held
    assert [owed for owed, _ in await reports.take_due(HELD_FOR)] == [Owed("CT", "1.2.3")]
    await database.close()
