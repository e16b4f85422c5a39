"""The child process that runs one ONNX model over one volume, and may die of it.

Started as `python -m analysis_svc.onnx.worker SOCKET_FD PARENT_PID` by `analysis_svc.onnx.onnx_run`. It reads the
volume from the socket, limits itself, tells each batch, sends the masks, and ends.
"""

from __future__ import annotations

import resource
import socket
import sys
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from analysis_svc.onnx.model_card import ModelCard
from analysis_svc.onnx.sliding_window import Network, WrongOutput, slide
from imaging.codecs.child_limits import die_with_parent, mapped_bytes
from imaging.codecs.worker_wire import WireBroken, receive_header, receive_into, send_message


def main(arguments: list[str] | None = None) -> None:
    """Serve one volume."""
    descriptor, parent = (int(argument) for argument in (arguments or sys.argv[1:]))
    die_with_parent(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=descriptor)
    try:
        send_message(connection, {"ready": True}, b"", None)
        _serve(connection)
    except (WireBroken, OSError):
        return


def _serve(connection: socket.socket) -> None:
    request, _ = receive_header(connection, None)
    card = ModelCard.model_validate(request["card"])
    volume = np.empty(request["shape"], dtype=np.float32)
    receive_into(connection, volume.data.cast("B"), None)
    _limit(card)
    try:
        masks = _masks(card, request["model"], volume, connection)
    except WrongOutput as error:
        send_message(connection, {"failed": str(error)}, b"", None)
    except MemoryError:
        send_message(connection, {"failed": "it needs more memory than it may take"}, b"", None)
    # The runtime raises classes of its own; their text tells of the network, which holds no patient data.
    except Exception as error:  # noqa: BLE001
        told = " ".join(str(error).split())[:300]
        send_message(connection, {"failed": f"the runtime raised {type(error).__name__}: {told}"}, b"", None)
    else:
        send_message(connection, {"shape": masks.shape}, masks.data.cast("B"), None)


def _masks(card: ModelCard, path: str, volume: NDArray[np.float32], connection: socket.socket) -> NDArray[np.uint8]:
    """Shape (outputs, z, y, x), 1 where the voxel belongs to the output."""

    def tell(done: int, total: int) -> None:
        send_message(connection, {"done": done, "total": total}, b"", None)

    channels = max(output.channel for output in card.outputs) + 1
    activations = slide(
        volume,
        _network(card, path),
        patch=card.input.patch,
        overlap=card.input.overlap,
        batch=card.input.batch,
        channels=channels,
        progress=tell,
    )
    if card.activation == "sigmoid":
        marked = [activations[output.channel] >= 0 for output in card.outputs]
    else:
        if len(activations) < 2:
            raise WrongOutput("with softmax there are two channels or more, one of them for the background")
        best = activations.argmax(axis=0)
        marked = [best == output.channel for output in card.outputs]
    return np.ascontiguousarray(np.stack(marked).astype(np.uint8))


def _network(card: ModelCard, path: str) -> Network:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = card.limits.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # The arena keeps what it once took, which would count against the limit of memory.
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or not outputs:
        raise WrongOutput(f"the network has {len(inputs)} inputs and {len(outputs)} outputs, not one of float32 each")
    is_flat = len(inputs[0].shape) == 4
    if is_flat and card.input.patch[0] != 1:
        raise WrongOutput("the network takes single slices; the patch must have one")

    def run(patches: NDArray[np.float32]) -> NDArray[Any]:
        given = patches[:, :, 0] if is_flat else patches
        answer = np.asarray(session.run([outputs[0].name], {inputs[0].name: given})[0])
        return answer[:, :, None] if is_flat and answer.ndim == 4 else answer

    return run


def _limit(card: ModelCard) -> None:
    """Address space on top of what is mapped now, and processor time from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped_bytes() + (card.limits.memory_mib << 20), hard))
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + card.limits.minutes * 60 * card.limits.threads + 1)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


if __name__ == "__main__":
    main()
