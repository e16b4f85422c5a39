"""Mutated files through a running storage service: stored and read in every way, or refused; never anything else.

`python -m tests.faults.fuzz --seconds 600 --seed 1` draws new ones for as long; what goes wrong is made small, printed,
and ends the program with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from imaging.client.storage import Patience, StorageClient
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import Conflict, ImagingError, InvalidArgument, InvalidDicom
from imaging.render.display import render_frame
from imaging.rpc.status import from_status
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.dicom.mutation import Mutation, any_mutation
from tests.dicom.wheel_files import wheel_files
from tests.faults.compressed_images import ENCODERS, compressed_image
from tests.installation.storage_process import StorageProcess, storage_process
from tests.storage.storage_under_test import StorageCalls, calls_to, chunks, whole

CALL_SECONDS = 60
MOST_MEMORY_BYTES = 64 << 20
"""Over what the service had before an example, besides eight times its size."""

FRAMES_LOOKED_AT = 3
WHOLE_BYTES = 3_500_000
_UID_TAG = b"\x08\x00\x18\x00UI"


def subjects(*, large: bool = False) -> dict[str, bytes]:
    """What is mutated, by name: all files of the wheel, and images of many compressed frames."""
    if large:
        return {syntax: compressed_image(syntax, 60, 512) for syntax in ENCODERS}
    found = {path.name: path.read_bytes() for path in wheel_files() if 132 < path.stat().st_size < 400_000}
    return found | {syntax: compressed_image(syntax) for syntax in ENCODERS}


class Fuzz:
    """Draws mutations of the subjects and judges what becomes of each."""

    def __init__(self, storage: StorageProcess, contents: dict[str, bytes]) -> None:
        self._storage = storage
        self._contents = contents
        self._number = 0
        self.outcomes: Counter[str] = Counter()
        """What became of how many."""

    def run(self, examples: int, seed_number: int | None = None) -> None:
        """Try so many; without a seed, as the profile of hypothesis draws them.

        Raises
        ------
        AssertionError
            With the smallest mutation that was found to break a promise.
        """

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=seed_number is None and settings.default.derandomize,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(
            name=st.sampled_from(sorted(self._contents)),
            mutation=any_mutation(),
            own_uid=st.booleans(),
        )
        def one(name: str, mutation: Mutation, own_uid: bool) -> None:
            content = mutation(self._contents[name])
            runner.run(self._judged(calls[0], client[0], self._with_own_uid(content) if own_uid else content))

        with asyncio.Runner() as runner:
            calls: list[StorageCalls] = []
            client: list[StorageClient] = []
            opened = calls_to(self._storage.address)
            calls.append(runner.run(opened.__aenter__()))
            client.append(StorageClient(calls[0].channel, patience=Patience(give_up_after=timedelta(seconds=2))))
            try:
                (one if seed_number is None else seed(seed_number)(one))()
            finally:
                runner.run(client[0].close())
                runner.run(opened.__aexit__(None, None, None))

    def _with_own_uid(self, content: bytes) -> bytes:
        """Under a SOP Instance UID that nothing else has; otherwise it meets the earlier mutations of the same file."""
        at = content.find(_UID_TAG)
        length = content[at + 6] if at >= 0 and at + 8 < len(content) else 0
        if length < 12:
            return content
        self._number += 1
        uid = f"1.2.3.{self._number}".encode().ljust(length, b"\0")
        return content[: at + 8] + uid + content[at + 8 + length :]

    async def _judged(self, calls: StorageCalls, client: StorageClient, content: bytes) -> None:
        before = self._storage.resident_bytes()
        self._storage.forget_peak()
        self.outcomes[await _outcome(calls, client, content)] += 1
        assert self._storage.is_alive
        grown = self._storage.peak_bytes() - before
        assert grown < MOST_MEMORY_BYTES + 8 * len(content), f"{grown} bytes of memory for {len(content)}"


async def _outcome(calls: StorageCalls, client: StorageClient, content: bytes) -> str:
    """What became of an upload, and of reading it back where it was stored."""
    async with asyncio.timeout(CALL_SECONDS):
        small = len(content) <= WHOLE_BYTES
        *_, answer = await calls.send([whole("a", content)] if small else chunks("a", content))
    if answer.HasField("rejected"):
        error = from_status(answer.rejected)
        assert isinstance(error, InvalidDicom | Conflict), repr(error)
        assert error.hint
        assert isinstance(error, Conflict) or "byte " in error.where, error.text
        return error.reason
    assert answer.HasField("stored"), answer
    instance = answer.stored.instance
    if answer.stored.outcome == 1:
        messages = await calls.stream("RetrieveInstances", name=instance.name)
        assert b"".join(message.data.content for message in messages) == content
    (model,) = await calls.stream(
        "RetrieveMetadata", name=instance.name, format=pb.RetrieveMetadataRequest.FORMAT_DICOM_JSON
    )
    assert isinstance(json.loads(model.content), dict)
    if not instance.number_of_frames:
        return "stored"
    frames = sorted({*range(1, min(FRAMES_LOOKED_AT, instance.number_of_frames) + 1), instance.number_of_frames})
    selection = pb.RetrieveFramesRequest.Selection(instance=instance.name, frame_numbers=frames)
    by_service = await _refusal(
        calls.stream("RetrieveFrames", selections=[selection], accept_transfer_syntax_uids=[EXPLICIT_VR_LITTLE_ENDIAN])
    )
    by_client = await _refusal(_shown(client, selection))
    return f"stored, frames {by_service or 'decoded'}, pictures {by_client or 'shown'}"


async def _shown(client: StorageClient, selection: pb.RetrieveFramesRequest.Selection) -> None:
    (header,) = await client.read_headers(selection.instance)
    async for frame in client.read_frames(selections=[selection]):
        picture = render_frame(frame.pixels, header.dataset, frame_number=frame.frame_number)
        assert picture.shape[:2] == frame.pixels.shape[:2]


async def _refusal(reading: Awaitable[object]) -> str:
    """The reason why reading was refused; empty if it was not."""
    error: ImagingError | None = None
    try:
        async with asyncio.timeout(CALL_SECONDS):
            await reading
    except ImagingError as raised:
        error = raised
    if error is None:
        return ""
    assert isinstance(error, InvalidArgument), repr(error)
    assert error.hint, error.text
    return error.reason


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first round; each has the next")
    parser.add_argument("--large", action="store_true", help="only images of 60 frames of 512 x 512, in chunks")
    options = parser.parse_args(arguments)
    until, round_seed = time.monotonic() + options.seconds, options.seed
    warnings.simplefilter("ignore")  # of pydicom, about values that were made odd on purpose
    warnings.simplefilter("error", RuntimeWarning)
    with tempfile.TemporaryDirectory(prefix="imaging-fuzz-") as folder:
        contents = subjects(large=options.large)
        with storage_process(Path(folder) / "data", settings={"quiet_time_seconds": 3600}) as storage:
            fuzz = Fuzz(storage, contents)
            while time.monotonic() < until:
                try:
                    fuzz.run(50 if options.large else 500, round_seed)
                except BaseException:
                    sys.stderr.write(f"The service said last:\n{storage.log[-4000:]}\n")
                    raise
                memory = storage.resident_bytes() >> 20
                sys.stdout.write(f"seed {round_seed}: {fuzz.outcomes.total()} tried, {memory} MiB resident\n")
                sys.stdout.flush()
                round_seed += 1
    for outcome, count in sorted(fuzz.outcomes.items(), key=lambda item: -item[1]):
        sys.stdout.write(f"{count:8}  {outcome}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
