"""Where the client looks for the services."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imaging.client.endpoints import resolve_endpoints
from imaging.client.search_keys import search_keys
from imaging.errors import InvalidArgument
from imaging.settings import Settings, load_settings


def test_one_address_is_storage_and_the_others_follow(tmp_path: Path) -> None:
    assert resolve_endpoints("10.0.0.1:7000", Settings()) == {
        "storage": "10.0.0.1:7000",
        "processing": "10.0.0.1:7001",
        "analysis": "10.0.0.1:7002",
        "reporting": "10.0.0.1:7003",
        "pipeline": "10.0.0.1:7004",
        "gateway": "10.0.0.1:7005",
    }


def test_addresses_by_service_are_taken_as_given() -> None:
    resolved = resolve_endpoints({"storage": "127.0.0.1:1", "pipeline": "127.0.0.1:2", "http": "x:3"}, Settings())
    assert resolved["storage"] == "127.0.0.1:1"
    assert resolved["pipeline"] == "127.0.0.1:2"
    assert resolved["analysis"] == "127.0.0.1:50053"


def test_nothing_finds_the_installation_that_works_on_the_data_folder(tmp_path: Path) -> None:
    addresses = {name: f"127.0.0.1:{n}" for n, name in enumerate(resolve_endpoints("h:1", Settings()), 9000)}
    (tmp_path / "endpoints.json").write_text(json.dumps({"endpoints": addresses}))
    assert resolve_endpoints(None, Settings(data_dir=tmp_path)) == addresses


def test_addresses_of_the_settings_win_over_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text(json.dumps({"endpoints": {"storage": "127.0.0.1:9"}}))
    settings = load_settings(None, {"IMAGING_STORAGE_ADDRESS": "127.0.0.1:7", "IMAGING_DATA_DIR": str(tmp_path)})
    assert resolve_endpoints(None, settings)["storage"] == "127.0.0.1:7"


@pytest.mark.parametrize("text", ["{", "{}", '{"endpoints": 3}', '{"endpoints": {"storage": "x:1"}}'])
def test_damaged_endpoints_file_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "endpoints.json").write_text(text)
    assert resolve_endpoints(None, Settings(data_dir=tmp_path))["storage"] == "127.0.0.1:50051"


@pytest.mark.parametrize("address", ["", "host", "host:", ":50051", "host:port", "host:0", "host:70000", "host:²"])
def test_malformed_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(InvalidArgument, match="host:port"):
        resolve_endpoints(address, Settings())


def test_unknown_service_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no service `storrage`"):
        resolve_endpoints({"storrage": "h:1"}, Settings())


def test_search_keys_may_be_written_as_python_or_as_dicom() -> None:
    keys = {"patient_id": "1", "study_instance_uid": "2", "PatientName": "3", "modalities_in_study": "CT"}
    assert search_keys(keys) == {
        "PatientID": "1",
        "StudyInstanceUID": "2",
        "PatientName": "3",
        "ModalitiesInStudy": "CT",
    }
