"""`python -m tests.containers.play_chart`: the chart's own pods by `podman kube play`, and `helm test` through them.

What podman does not do as Kubernetes does is made up for here, and only that: secrets become folders with the files
that Kubernetes would show (decoded, mode 0440, the pod's group), a headless service is an alias on a network, and
nobody probes, so that the pod of `helm test` is started when the health ports say SERVING.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import yaml

from imaging.settings import SERVICE_NAMES
from tests.charts.rendering import Manifest, rendered

NETWORK: Final = "imaging-play"
READY_SECONDS: Final = 120
TEST_SECONDS: Final = 200
_PROBE: Final = ("python", "-m", "imaging.rpc.health_probe")


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, test, and take all away again; 0 if `helm test` ended well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--image",
        default=f"localhost/imaging-pipeline:{metadata.version('imaging-pipeline')}",
        help="the image of the services",
    )
    parser.add_argument("--memory", default="512Mi", help="limit of each service")
    options = parser.parse_args(arguments)
    repository, _, tag = options.image.rpartition(":")
    manifests = rendered("embedded", "--set", f"image.repository={repository}", "--set", f"image.tag={tag}")
    by_kind = {kind: [m for m in manifests if m["kind"] == kind] for kind in ("Deployment", "Pod")}
    _podman("network", "create", NETWORK, check=False)
    with tempfile.TemporaryDirectory(prefix="play-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        played: list[Path] = []
        try:
            for deployment in by_kind["Deployment"]:
                spec = deployment["spec"]["template"]["spec"]
                for container in spec["containers"]:
                    container["resources"]["limits"]["memory"] = options.memory
                played.append(_play(deployment, spec, manifests, folder))
            _wait_ready()
            (test,) = by_kind["Pod"]
            played.append(_play(test, test["spec"], manifests, folder))
            return _result(test)
        finally:
            for file in played:
                _podman("kube", "down", str(file), check=False)
            _podman("network", "rm", "-f", NETWORK, check=False)
            for deployment in by_kind["Deployment"]:
                _podman("volume", "rm", "-f", deployment["metadata"]["name"], check=False)


def _play(manifest: Manifest, spec: dict[str, Any], manifests: list[Manifest], folder: Path) -> Path:
    name = manifest["metadata"]["name"]
    secrets = {m["metadata"]["name"]: m["data"] for m in manifests if m["kind"] == "Secret"}
    with_it = [m for m in manifests if m["kind"] == "PersistentVolumeClaim" and m["metadata"]["name"] == name]
    for volume in spec["volumes"]:
        if secret := volume.pop("secret", None):
            volume["hostPath"] = {"path": str(_secret_folder(folder / name / volume["name"], secret, secrets, spec))}
        elif config := volume.get("configMap"):
            with_it += [m for m in manifests if m["kind"] == "ConfigMap" and m["metadata"]["name"] == config["name"]]
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump_all([*with_it, manifest]))
    _podman("kube", "play", "--network", f"{NETWORK}:alias={name}", str(file))
    return file


def _secret_folder(
    folder: Path, secret: dict[str, Any], secrets: dict[str, dict[str, str]], spec: dict[str, Any]
) -> Path:
    folder.mkdir(parents=True)
    data = secrets[secret["secretName"]]
    items = secret.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        file = folder / item["path"]
        file.write_bytes(base64.b64decode(data[item["key"]]))
        os.chown(file, 0, spec["securityContext"]["fsGroup"])
        file.chmod(secret["defaultMode"])
    return folder


def _wait_ready() -> None:
    until = time.monotonic() + READY_SECONDS
    for index, service in enumerate(SERVICE_NAMES):
        container = f"test-imaging-{service}-pod-0-{service}"
        while _podman("exec", container, *_PROBE, f"127.0.0.1:{50081 + index}", check=False).returncode:
            if time.monotonic() > until:
                sys.stdout.write(_podman("logs", container, check=False).stderr)
                raise SystemExit(f"{service} is not ready after {READY_SECONDS} s")
            time.sleep(1)
        sys.stdout.write(f"{service} is ready\n")


def _result(test: Manifest) -> int:
    container = f"{test['metadata']['name']}-test"
    waited = subprocess.run(["podman", "wait", container], capture_output=True, text=True, timeout=TEST_SECONDS)
    told = _podman("logs", container, check=False)
    sys.stdout.write(told.stdout + told.stderr)
    return int(waited.stdout.strip() or 1)


def _podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"podman {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done


if __name__ == "__main__":
    sys.exit(main())
