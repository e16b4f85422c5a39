"""Searches of storage's index, page by page, with what stands above the results, as objects of the DICOM JSON model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway_svc.dicomweb.dicom_json import instance_members, json_object, series_members, study_members
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

LARGEST_PAGE: Final = 1000
_UIDS_AT_ONCE: Final = 100


async def search_page(
    storage: StorageStub,
    parent: str,
    level: int,
    keys: Sequence[pb.MatchKey],
    size: int,
    token: str,
    skip: int = 0,
    *,
    separate_date_and_time: bool = False,
) -> tuple[Sequence[Any], str]:
    """Studies (level 1), series (2) or instances (3) that match, and the token of the next page.

    Parameters
    ----------
    separate_date_and_time
        Match a date and its time each by itself, not as one moment.

    Raises
    ------
    ImagingError
        Why there is no answer.
    """
    wanted: dict[str, Any] = {
        "keys": keys,
        "page_size": size,
        "page_token": token,
        "skip": skip,
        "separate_date_and_time": separate_date_and_time,
    }
    with domain_errors("storage"):
        if level == 1:
            studies = await storage.SearchStudies(pb.SearchStudiesRequest(**wanted))
            return studies.studies, studies.next_page_token
        if level == 2:
            series = await storage.SearchSeries(pb.SearchSeriesRequest(parent=parent, **wanted))
            return series.series, series.next_page_token
        instances = await storage.SearchInstances(pb.SearchInstancesRequest(parent=parent, **wanted))
        return instances.instances, instances.next_page_token


async def json_objects(storage: StorageStub, above: int, level: int, found: Sequence[Any], root: str) -> list[str]:
    """The results as JSON texts.

    Parameters
    ----------
    above
        How many levels over the results are known to who asks; what it does not know comes along (PS3.18 10.6.3.3).
    root
        Of the URLs.
    """
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
        page, _ = await search_page(storage, "", 1, [key], _UIDS_AT_ONCE, "")
        studies |= {study.study_instance_uid: study for study in page}
    return studies


async def _series_parts(storage: StorageStub, found: Sequence[Any], root: str) -> Mapping[str, list[str]]:
    parts: dict[str, list[str]] = {}
    uids = list(dict.fromkeys(item.series_instance_uid for item in found))
    for start in range(0, len(uids), _UIDS_AT_ONCE):
        key = pb.MatchKey(keyword="SeriesInstanceUID", value="\\".join(uids[start : start + _UIDS_AT_ONCE]))
        page, _ = await search_page(storage, "", 2, [key], LARGEST_PAGE, "")
        parts |= {series.series_instance_uid: series_members(series, root) for series in page}
    return parts
