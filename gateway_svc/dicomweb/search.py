"""QIDO-RS (PS3.18 10.6): searches of the index as DICOM JSON, page by page up to the limit asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from gateway_svc.dicomweb.dicom_xml import XML, xml_parts
from gateway_svc.dicomweb.multipart import content_type, end, new_boundary
from gateway_svc.dicomweb.query import Query, parse_query
from gateway_svc.dicomweb.representation import JSON, accept_of, chosen
from gateway_svc.dicomweb.target import COLLECTIONS, ROOT, Target
from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.index_search import LARGEST_PAGE, json_objects, search_page
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_FUZZY: Final = b'299 imaging "The fuzzymatching parameter is not supported. Only literal matching has been performed."'
_MORE: Final = b'299 imaging "There are additional results that can be requested"'


async def send_search(exchange: Exchange, storage: StorageStub, target: Target) -> None:
    """Answer with what matches; an empty list where nothing does."""
    parameters = exchange.query if exchange.scope["query_string"] else []
    media_type = chosen(accept_of(exchange.header(b"accept"), parameters), JSON, "application/json", XML)
    level = 1 + COLLECTIONS.index(target.resource.partition("/")[2])
    query = parse_query(parameters, level)
    found, is_last = await _search(storage, target.name, level, query)
    if not found and not query.keys and not query.offset and query.limit and target.level:
        await _check_there(storage, target)
    root = exchange.base_url + ROOT
    objects = await json_objects(storage, target.level, level, found, root)
    body = f"[{','.join(objects)}]".encode("utf-8", "replace")
    kind = media_type.encode("ascii")
    if media_type == XML:
        boundary = new_boundary()
        kind = content_type(boundary, XML)
        body = xml_parts(boundary, map(json.loads, objects)) + end(boundary)
    headers: list[Header] = [
        (b"content-type", kind),
        (b"cache-control", b"private, no-store"),
        (b"vary", b"Accept"),
    ]
    headers += [(b"warning", _FUZZY)] if query.fuzzy else []
    headers += [(b"warning", _MORE)] if not is_last else []
    await exchange.send(200, headers, body)


async def _search(storage: StorageStub, parent: str, level: int, query: Query) -> tuple[list[Any], bool]:
    """What matches, at most `limit`, and whether that is all."""
    keys = [pb.MatchKey(keyword=keyword, value=value) for keyword, value in query.keys]
    found: list[Any] = []
    token, skip = "", query.offset
    while len(found) < query.limit:
        size = min(LARGEST_PAGE, query.limit - len(found))
        page, token = await search_page(storage, parent, level, keys, size, token, skip)
        found += page
        skip = 0
        if not token:
            return found, True
    return found, False


async def _check_there(storage: StorageStub, target: Target) -> None:
    """An empty list for a study or series that is not there would hide a mistake in its UID."""
    with domain_errors(target.name):
        if target.level == 1:
            await storage.GetStudy(pb.GetStudyRequest(name=target.name))
        else:
            await storage.GetSeries(pb.GetSeriesRequest(name=target.name))
