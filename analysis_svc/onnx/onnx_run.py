"""The service's side of one run of an ONNX model in a child process."""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis_svc.model import Report
from analysis_svc.onnx.model_card import ModelCard
from imaging.codecs.child_process import ChildProcess
from imaging.codecs.worker_wire import WireBroken, receive_header, receive_into, send_message
from imaging.errors import ModelFailed, Unavailable

WORKER_COMMAND = (sys.executable, "-P", "-m", "analysis_svc.onnx.worker")
_LOOK_SECONDS = 0.5
"""How often a cancel and the time limit are looked at while the network computes."""


def run_onnx(
    card: ModelCard,
    path: Path,
    volume: NDArray[np.float32],
    report: Report,
    *,
    command: Sequence[str] = WORKER_COMMAND,
) -> NDArray[np.uint8]:
    """Masks of shape (outputs, z, y, x), 1 where the voxel belongs to the output.

    The process ends with the call, however it goes: after an error, over a limit, or when `report` raises.

    Parameters
    ----------
    card
        How the network is to be run.
    path
        Of `model.onnx`.
    volume
        Shape (z, y, x), values 0 to 1.

    Raises
    ------
    ModelFailed
        If the network raises, gives back a wrong shape, takes more time or memory than its limits, or kills the
        process.
    Unavailable
        If no process can be started.
    """
    try:
        child = ChildProcess(command)
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"No process for the model {card.name} could be started",
            where=f"model {card.name}",
            hint="Check memory and the limit of processes; onnxruntime must be installed.",
        ) from error
    deadline = time.monotonic() + card.limits.minutes * 60
    try:
        request = {"card": card.model_dump(mode="json"), "model": str(path), "shape": volume.shape}
        send_message(child.connection, request, np.ascontiguousarray(volume, dtype=np.float32).data.cast("B"), deadline)
        return _answer(child, card, volume.shape, report, deadline)
    except TimeoutError:
        raise _failed(card, f"took longer than its limit of {card.limits.minutes:g} minutes") from None
    except (WireBroken, OSError) as error:
        ending = child.ending(error)
        if child.returncode == -signal.SIGXCPU:
            ending = f"used more processor time than {card.limits.minutes:g} minutes on each thread"
        raise _failed(card, ending) from None
    finally:
        child.kill()


def _answer(
    child: ChildProcess, card: ModelCard, shape: tuple[int, ...], report: Report, deadline: float
) -> NDArray[np.uint8]:
    done = total = 0
    while True:
        report(done, total, "patches", card.name)
        while not select.select([child.connection], [], [], _LOOK_SECONDS)[0]:
            report(done, total, "patches", card.name)
            if time.monotonic() > deadline:
                raise TimeoutError
        answer, size = receive_header(child.connection, deadline)
        if "failed" in answer:
            raise _failed(card, f"failed: {answer['failed']}")
        if "shape" not in answer:
            done, total = int(answer.get("done", done)), int(answer.get("total", total))
            continue
        masks = np.empty((len(card.outputs), *shape), dtype=np.uint8)
        if tuple(answer["shape"]) != masks.shape or size != masks.nbytes:
            raise WireBroken("masks of another shape")
        receive_into(child.connection, masks.data.cast("B"), deadline)
        return masks


def _failed(card: ModelCard, what: str) -> ModelFailed:
    metadata: dict[str, Any] = {"model": card.name}
    return ModelFailed(
        f"The model {card.name} {card.version} {what}",
        where=f"model {card.name}",
        hint="Its limits and shapes stand in its model.yaml; nothing else was touched.",
        metadata=metadata,
    )
