"""Every file that a setting can name can be given by the values of the chart, and is where the service looks for it."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel

from imaging.settings import SERVICE_NAMES, Settings, load_settings
from tests.charts.rendering import SCENARIOS, Manifest, pods, rendered
from tests.charts.test_chart import needs_helm

pytestmark = [needs_helm, pytest.mark.peers]

FILES: Final = Path("/etc/imaging/files")
"""Where the value `files` mounts."""

NOT_OF_THE_CHART: Final = {"data_dir", "front.certificate_file", "front.key_file"}
"""The data folder is the pods' volume, and the one port is the cluster's own: Gateway API or Ingress."""

ENTRIES: Final[dict[str, dict[str, Any]]] = {
    "gateway.destinations": {"url": "https://archive.example.org/dicom-web"},
    "pipeline.webhooks": {"url": "https://pager.example.org/alerts"},
    "gateway.peers": {"ae_title": "CT1"},
}
"""What an entry of each table needs besides its files."""


def file_settings(section: type[BaseModel] = Settings, path: str = "") -> Iterator[str]:
    """The dotted name of every setting that names a file or folder; `*` stands for an entry of a table."""
    for name, field in section.model_fields.items():
        here = f"{path}{name}"
        for part in parts(field.annotation):
            if part is Path:
                yield here
            elif isinstance(part, type) and issubclass(part, BaseModel):
                yield from file_settings(part, f"{here}.*." if here in ENTRIES else f"{here}.")


def parts(annotation: Any) -> list[Any]:
    """The plain types within an annotation."""
    return [part for inner in typing.get_args(annotation) for part in parts(inner)] or [annotation]


def values_of(settings: Settings, name: str) -> list[Path]:
    """What a setting names, in every entry of a table; nothing if it is not set."""
    found: list[Any] = [settings]
    for part in name.split("."):
        inner = [value for one in found for value in (one.values() if part == "*" else [getattr(one, part)])]
        found = [value for value in inner if value is not None]
    return found


def settings_of(manifests: list[Manifest], folder: Path) -> Settings:
    (config,) = [m for m in manifests if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "test-imaging-config"]
    file = folder / "imaging.toml"
    file.write_text(config["data"]["imaging.toml"])
    return load_settings(file, env={})


def readers(name: str) -> list[str]:
    """The components that read the file of a setting."""
    section = name.partition(".")[0]
    if section == "database":
        return [service for service in SERVICE_NAMES if service != "processing"]
    return list(SERVICE_NAMES) if section == "security" else [section]


def is_mounted(manifests: list[Manifest], name: str, file: Path) -> bool:
    """True if every component that reads it has a mount with the file."""
    found = dict(pods(manifests))
    for service in readers(name):
        (container,) = found[f"Deployment/test-imaging-{service}"]["containers"]
        mounts = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
        if not mounts.intersection((file, *file.parents)):
            return False
    return True


def test_every_table_with_files_is_known_here() -> None:
    names = set(file_settings())
    assert {"gateway.destinations.*.token_file", "pipeline.webhooks.*.secret_file", "security.token_file"} <= names
    assert names >= NOT_OF_THE_CHART


def test_every_file_that_a_setting_names_can_be_given_by_a_value(tmp_path: Path) -> None:
    names = set(file_settings()) - NOT_OF_THE_CHART
    by_own_values = set()
    for scenario in SCENARIOS:
        manifests = rendered(scenario)
        settings = settings_of(manifests, tmp_path)
        for name in names:
            files = values_of(settings, name)
            if files and not any(file.is_relative_to(FILES) for file in files):
                assert all(is_mounted(manifests, name, file) for file in files), name
                by_own_values.add(name)
    others = sorted(names - by_own_values)
    values: dict[str, Any] = {"settings": {}, "files": {}, "dimse": {"tls": {"enabled": True}}}
    for number, name in enumerate(others):
        values["files"][f"given-{number}"] = {"secret": f"given-{number}", "components": readers(name)}
        *path, key = name.split(".")
        entry = values["settings"]
        for depth, part in enumerate(path):
            start = ENTRIES[".".join(path[:depth])] if part == "*" else {}
            entry = entry.setdefault("one" if part == "*" else part, dict(start))
        entry[key] = str(FILES / f"given-{number}" / "content")
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    manifests = rendered("embedded", "--values", str(file))
    settings = settings_of(manifests, tmp_path)
    for number, name in enumerate(others):
        given = FILES / f"given-{number}" / "content"
        assert values_of(settings, name) == [given], name
        assert is_mounted(manifests, name, given), name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_file_that_the_settings_of_a_scenario_name_is_mounted(scenario: str, tmp_path: Path) -> None:
    manifests = rendered(scenario)
    settings = settings_of(manifests, tmp_path)
    for name in set(file_settings()) - NOT_OF_THE_CHART:
        assert all(is_mounted(manifests, name, file) for file in values_of(settings, name)), name


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("files.x.secret=a", "components"),
        ("files.x.components={gateway}", "oneOf"),
        ("files.x.secrets=a", "not allowed"),
    ],
)
def test_a_file_without_source_or_reader_is_refused(wrong: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        rendered("embedded", "--set", wrong)


def test_dicom_tls_alone_takes_nothing_in_plain_text(tmp_path: Path) -> None:
    manifests = rendered("embedded", "--set", "dimse.tls.enabled=true")
    settings = settings_of(manifests, tmp_path)
    assert settings.gateway.dimse_tls_address
    assert not settings.gateway.dimse_plain_text
    (service,) = [m for m in manifests if m["kind"] == "Service" and m["metadata"]["name"] == "test-imaging-dimse"]
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("dimse-tls", 2762)]
    (container,) = dict(pods(manifests))["Deployment/test-imaging-gateway"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment["IMAGING_GATEWAY_DIMSE_ADDRESS"].startswith("127.0.0.1:")
    port = int(environment["IMAGING_GATEWAY_DIMSE_TLS_ADDRESS"].rpartition(":")[2])
    assert {"name": "dimse-tls", "containerPort": port} in container["ports"]
    (policy,) = [
        m
        for m in manifests
        if m["kind"] == "NetworkPolicy" and m["metadata"]["labels"].get("app.kubernetes.io/component") == "gateway"
    ]
    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert port in opened
    assert 50058 not in opened
