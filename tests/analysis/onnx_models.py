"""Small ONNX models, made for tests: one that is right, and some that do harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package onnx, which makes the models of these tests, is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime (the extra [onnx]) is not installed")

CARD = """
name: bright-tissue
version: "1.0"
description: Everything in the upper half of the window.
licence: Apache-2.0
intended_use: Tests of this software; for nothing else.
modalities: [CT]
input:
  window: [-1000, 1000]
  patch: [8, 16, 16]
  overlap: 0.5
  batch: 2
outputs:
  - label: Bright
    channel: 1
    type: {value: "272673000", scheme: SCT, meaning: Bone}
limits: {threads: 1, memory_mib: 512, minutes: 2}
"""

SHAPE = ["n", 1, "z", "y", "x"]


def _model(nodes: list[Any], constants: dict[str, Any], shape: list[Any] | None = None) -> bytes:
    helper, tensor = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", tensor.FLOAT, shape or SHAPE)],
        [helper.make_tensor_value_info("y", tensor.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def threshold(*, flat: bool = False) -> bytes:
    """Two channels, 0.5 - x and x - 0.5: the second is larger where x is over 0.5."""
    ones = (1, 1) if flat else (1, 1, 1)
    weights = np.array([-1, 1], dtype=np.float32).reshape(2, 1, *ones)
    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"])
    constants = {"w": weights, "b": np.array([0.5, -0.5], dtype=np.float32)}
    return _model([node], constants, ["n", 1, "y", "x"] if flat else None)


def one_channel() -> bytes:
    """The input as it is: a channel less than the card says."""
    return _model([onnx.helper.make_node("Identity", ["x"], ["y"])], {})


def halved() -> bytes:
    """Every second voxel of each axis alone."""
    node = onnx.helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    return _model([node], {})


def not_finite() -> bytes:
    """Two channels without a number."""
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    return _model([node], {"w": np.full((2, 1, 1, 1, 1), np.nan, dtype=np.float32)})


def glutton() -> bytes:
    """64 GiB before it says anything."""
    make = onnx.helper.make_node
    zero = onnx.helper.make_tensor("zero", onnx.TensorProto.FLOAT, [1], [0.0])
    nodes = [
        make("ConstantOfShape", ["size"], ["big"], value=zero),
        make("ReduceSum", ["big"], ["sum"], keepdims=0),
        make("Add", ["x", "sum"], ["y"]),
    ]
    return _model(nodes, {"size": np.array([1 << 34], dtype=np.int64)})


def endless() -> bytes:
    """A loop that nobody sees the end of."""
    helper, tensor = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Add", ["value", "value"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("round", tensor.INT64, []),
            helper.make_tensor_value_info("going", tensor.BOOL, []),
            helper.make_tensor_value_info("value", tensor.FLOAT, SHAPE),
        ],
        [
            helper.make_tensor_value_info("on", tensor.BOOL, []),
            helper.make_tensor_value_info("more", tensor.FLOAT, SHAPE),
        ],
    )
    node = helper.make_node("Loop", ["rounds", "begin", "x"], ["y"], body=body)
    return _model([node], {"rounds": np.array(1 << 60, dtype=np.int64), "begin": np.array(True)})


def write(folder: Path, content: bytes, card: str = CARD) -> Path:
    """The folder of a model."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "model.yaml").write_text(card)
    return folder
