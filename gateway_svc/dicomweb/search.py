"""QIDO-RS (PS3.18 10.6): searches of the index as DICOM JSON, page by page up to the limit asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway_svc.dicomweb.dicom_json import instance_members, json_object, series_members, study_members
from gateway_svc.dicomweb.dicom_xml import XML, xml_parts
from gateway_svc.dicomweb.multipart import content_type, end, new_boundary
from gateway_svc.dicomweb.query import Query, parse_query
from gateway_svc.dicomweb.representation import JSON, accept_of, chosen
from gateway_svc.dicomweb.target import COLLECTIONS, ROOT, Target
from gateway_svc.http.exchange import Exchange, Header
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_PAGE: Final = 1000
_UIDS_AT_ONCE: Final = 100
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
    objects = await _objects(storage, target.level, level, found, root)
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
        with domain_errors("storage"):
            page, token = await _page(storage, parent, level, keys, min(_PAGE, query.limit - len(found)), token, skip)
        found += page
        skip = 0
        if not token:
            return found, True
    return found, False


async def _page(
    storage: StorageStub, parent: str, level: int, keys: list[pb.MatchKey], size: int, token: str, skip: int
) -> tuple[Sequence[Any], str]:
    if level == 1:
        asked = pb.SearchStudiesRequest(keys=keys, page_size=size, page_token=token, skip=skip)
        studies = await storage.SearchStudies(asked)
        return studies.studies, studies.next_page_token
    if level == 2:
        wanted = pb.SearchSeriesRequest(parent=parent, keys=keys, page_size=size, page_token=token, skip=skip)
        series = await storage.SearchSeries(wanted)
        return series.series, series.next_page_token
    request = pb.SearchInstancesRequest(parent=parent, keys=keys, page_size=size, page_token=token, skip=skip)
    instances = await storage.SearchInstances(request)
    return instances.instances, instances.next_page_token


async def _check_there(storage: StorageStub, target: Target) -> None:
    """An empty list for a study or series that is not there would hide a mistake in its UID."""
    with domain_errors(target.name):
        if target.level == 1:
            await storage.GetStudy(pb.GetStudyRequest(name=target.name))
        else:
            await storage.GetSeries(pb.GetSeriesRequest(name=target.name))


async def _objects(storage: StorageStub, above: int, level: int, found: Sequence[Any], root: str) -> list[str]:
    """JSON objects; a search over more than one study or series tells of these too (PS3.18 10.6.3.3)."""
    if level == 1:
        return [json_object(study_members(study, root)) for study in found]
    studies = await _studies_of(storage, found) if above == 0 else {}
    study_parts = {uid: study_members(study, root) for uid, study in studies.items()}
    if level == 2:
        return [
            json_object(series_members(series, root), study_parts.get(series.study_instance_uid, ()))
            for series in found
        ]
    series_parts = await _series_parts(storage, found, root) if above < 2 else {}
    return [
        json_object(
            instance_members(instance, root),
            series_parts.get(instance.series_instance_uid, ()),
            study_parts.get(instance.study_instance_uid, ()),
        )
        for instance in found
    ]


async def _studies_of(storage: StorageStub, found: Sequence[Any]) -> Mapping[str, storage_pb2.Study]:
    studies: dict[str, storage_pb2.Study] = {}
    uids = list(dict.fromkeys(item.study_instance_uid for item in found))
    for start in range(0, len(uids), _UIDS_AT_ONCE):
        key = pb.MatchKey(keyword="StudyInstanceUID", value="\\".join(uids[start : start + _UIDS_AT_ONCE]))
        with domain_errors("storage"):
            page = await storage.SearchStudies(pb.SearchStudiesRequest(keys=[key], page_size=_UIDS_AT_ONCE))
        studies |= {study.study_instance_uid: study for study in page.studies}
    return studies


async def _series_parts(storage: StorageStub, found: Sequence[Any], root: str) -> Mapping[str, list[str]]:
    parts: dict[str, list[str]] = {}
    uids = list(dict.fromkeys(item.series_instance_uid for item in found))
    for start in range(0, len(uids), _UIDS_AT_ONCE):
        key = pb.MatchKey(keyword="SeriesInstanceUID", value="\\".join(uids[start : start + _UIDS_AT_ONCE]))
        with domain_errors("storage"):
            page = await storage.SearchSeries(pb.SearchSeriesRequest(keys=[key], page_size=_PAGE))
        parts |= {series.series_instance_uid: series_members(series, root) for series in page.series}
    return parts
