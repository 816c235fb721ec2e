"""MiniLM's graph: a BERT of six layers, written out node by node, so that nothing but onnx is needed to make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OF_A_HEAD = 32
"""How many numbers each of MiniLM's attention heads reads; how many heads and layers there are, the weights tell."""
_OPSET = 17
_FORMAT = 9
_EPSILON = 1e-12
_MASKED = -10000.0

Weights = Mapping[str, NDArray[Any]]


def build_graph(weights: Weights) -> onnx.ModelProto:
    """Return a model from tokens to the mean over them, to the greatest of each number, and to means of inner layers.

    What the last layer says is good for comparing whole sentences; who does what to whom, and whether it is negated,
    is plainer in the layers before it (Jawahar et al., "What does BERT learn about the structure of language?", 2019).
    After Devlin et al., "BERT" (2018), in the shape of ``all-MiniLM-L6-v2``, whose names the weights have.
    """
    width = weights["embeddings.word_embeddings.weight"].shape[1]
    graph = _Graph()
    hidden = _embed(graph, weights, width)
    _mask(graph)
    layers = []
    for layer in range(sum(name.endswith("intermediate.dense.bias") for name in weights)):
        hidden = _attend(graph, weights, hidden, layer)
        hidden = _transform(graph, weights, hidden, layer)
        layers.append(hidden)
    _pool(graph, hidden)
    _mean(graph, layers[len(layers) // 2 - 1], "middle")
    _mean(graph, layers[-2], "last_but_one")
    tokens = [helper.make_tensor_value_info(it, TensorProto.INT64, ["batch", "length"]) for it in INPUTS]
    outputs = [helper.make_tensor_value_info(it, TensorProto.FLOAT, ["batch", width]) for it in OUTPUTS]
    made = helper.make_graph(graph.nodes, "minilm", tokens, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="tta")
    # An older format than onnx would write by itself, so that an older onnxruntime reads it.
    model.ir_version = _FORMAT
    onnx.checker.check_model(model)
    return model


INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("mean", "peak", "middle", "last_but_one")


class _Graph:
    """Nodes and constants, each named by what it gives."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def whole(self, name: str, *numbers: int) -> str:
        return self.constant(name, np.array(numbers, np.int64))

    def number(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def add(self, operation: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operation, list(inputs), [output], name=output, **attributes))
        return output


def _embed(graph: _Graph, weights: Weights, width: int) -> str:
    words = graph.constant("words", weights["embeddings.word_embeddings.weight"])
    # All tokens are of the first of BERT's two segments: its vector is added to the positions once and for all.
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    positions = graph.constant("positions", weights["embeddings.position_embeddings.weight"] + segment)
    graph.whole("zero", 0)
    graph.whole("one", 1)
    graph.whole("two", 2)
    graph.whole("one_two", 1, 2)
    graph.whole("apart", 0, 0, width // _OF_A_HEAD, _OF_A_HEAD)
    graph.whole("joined", 0, 0, width)
    graph.number("unit", 1.0)
    graph.number("half", 0.5)
    graph.number("root_of_two", 2**0.5)
    graph.number("masked", _MASKED)
    graph.add("Gather", [words, "input_ids"], "word")
    graph.add("Shape", ["input_ids"], "shape")
    graph.add("Slice", ["shape", "one", "two", "zero"], "length")
    graph.add("Slice", [positions, "zero", "length", "zero"], "position")
    graph.add("Add", ["word", "position"], "embedded")
    return _normalise(graph, weights, "embedded", "embeddings.LayerNorm", "hidden")


def _mask(graph: _Graph) -> None:
    graph.add("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    graph.add("Unsqueeze", ["mask", "one_two"], "mask_of_heads")
    graph.add("Sub", ["unit", "mask_of_heads"], "left_out")
    graph.add("Mul", ["left_out", "masked"], "attention_bias")


def _normalise(graph: _Graph, weights: Weights, given: str, name: str, output: str) -> str:
    gain = graph.constant(f"{output}.gain", weights[f"{name}.weight"])
    bias = graph.constant(f"{output}.bias", weights[f"{name}.bias"])
    return graph.add("LayerNormalization", [given, gain, bias], output, axis=-1, epsilon=_EPSILON)


def _linear(graph: _Graph, weights: Weights, given: str, name: str, output: str, scale: float = 1.0) -> str:
    matrix = graph.constant(f"{output}.weight", weights[f"{name}.weight"].T * np.float32(scale))
    bias = graph.constant(f"{output}.offset", weights[f"{name}.bias"] * np.float32(scale))
    graph.add("MatMul", [given, matrix], f"{output}.product")
    return graph.add("Add", [f"{output}.product", bias], output)


def _attend(graph: _Graph, weights: Weights, hidden: str, layer: int) -> str:
    source = f"encoder.layer.{layer}.attention"
    name = f"layer{layer}.attention"
    # Scaling the queries' weights scales the scores.
    query = _linear(graph, weights, hidden, f"{source}.self.query", f"{name}.query", _OF_A_HEAD**-0.5)
    key = _linear(graph, weights, hidden, f"{source}.self.key", f"{name}.key")
    value = _linear(graph, weights, hidden, f"{source}.self.value", f"{name}.value")
    for each, order in ((query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3])):
        graph.add("Reshape", [each, "apart"], f"{each}.apart")
        graph.add("Transpose", [f"{each}.apart"], f"{each}.heads", perm=order)
    graph.add("MatMul", [f"{query}.heads", f"{key}.heads"], f"{name}.scores")
    graph.add("Add", [f"{name}.scores", "attention_bias"], f"{name}.masked")
    graph.add("Softmax", [f"{name}.masked"], f"{name}.shares", axis=-1)
    graph.add("MatMul", [f"{name}.shares", f"{value}.heads"], f"{name}.mixed")
    graph.add("Transpose", [f"{name}.mixed"], f"{name}.back", perm=[0, 2, 1, 3])
    graph.add("Reshape", [f"{name}.back", "joined"], f"{name}.joined")
    _linear(graph, weights, f"{name}.joined", f"{source}.output.dense", f"{name}.output")
    graph.add("Add", [f"{name}.output", hidden], f"{name}.sum")
    return _normalise(graph, weights, f"{name}.sum", f"{source}.output.LayerNorm", f"{name}.hidden")


def _transform(graph: _Graph, weights: Weights, hidden: str, layer: int) -> str:
    source = f"encoder.layer.{layer}"
    name = f"layer{layer}"
    inner = _linear(graph, weights, hidden, f"{source}.intermediate.dense", f"{name}.inner")
    # The Gaussian error unit, in the form that onnxruntime finds and makes one node of.
    graph.add("Div", [inner, "root_of_two"], f"{name}.scaled")
    graph.add("Erf", [f"{name}.scaled"], f"{name}.erf")
    graph.add("Add", [f"{name}.erf", "unit"], f"{name}.raised")
    graph.add("Mul", [inner, f"{name}.raised"], f"{name}.gated")
    graph.add("Mul", [f"{name}.gated", "half"], f"{name}.active")
    _linear(graph, weights, f"{name}.active", f"{source}.output.dense", f"{name}.outer")
    graph.add("Add", [f"{name}.outer", hidden], f"{name}.sum")
    return _normalise(graph, weights, f"{name}.sum", f"{source}.output.LayerNorm", f"{name}.hidden")


def _pool(graph: _Graph, hidden: str) -> None:
    graph.add("Unsqueeze", ["mask", "two"], "mask_of_tokens")
    graph.add("ReduceSum", ["mask", "one"], "count", keepdims=1)
    _mean(graph, hidden, "mean")
    graph.add("Sub", ["unit", "mask_of_tokens"], "padding")
    graph.add("Mul", ["padding", "masked"], "lowered")
    graph.add("Add", [hidden, "lowered"], "unpadded")
    graph.add("ReduceMax", ["unpadded"], "peak", axes=[1], keepdims=0)


def _mean(graph: _Graph, hidden: str, output: str) -> None:
    graph.add("Mul", [hidden, "mask_of_tokens"], f"{output}.kept")
    graph.add("ReduceSum", [f"{output}.kept", "one"], f"{output}.total", keepdims=0)
    graph.add("Div", [f"{output}.total", "count"], output)
