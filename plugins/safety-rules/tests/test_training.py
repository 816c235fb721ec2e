"""Training from end to end, on a few made-up lines and with a made-up sentence model."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tta_safety import KINDS
from tta_safety_rules.scores import CRISIS
from tta_safety_rules.train.embedding import Embeddings
from tta_safety_rules.train.flow import Made, Sources, train
from tta_safety_rules.train.lines import part_of
from tta_safety_rules.train.replies import read_templates, replies
from tta_safety_rules.weights import CARD, DEEP, HEAD, PAGE, read_card

WHO = ("my sister", "the carter", "an owl", "the ferryman", "our cook", "the giant")
WHAT = ("sings", "waits", "sleeps", "laughs", "paints", "rows")
WHERE = ("by the river", "in the barn", "on the hill", "at the mill")
REPLIES = """
frames: ['The rain stops. {}', '"{}"']
befores: [go on]
narration: [The carter waits at the ford.]
replies:
  method:
    - {before: help me, unsafe: 'I know a [quick|sure] way for you', twin: 'I know a [quick|sure] road to the mill'}
""" + "".join(
    f"    - {{unsafe: 'I will tell you how to do it {where} {number}', twin: 'I will row you {where} {number}'}}\n"
    for where in WHERE
    for number in range(10)
)
CRISES = {"suicide": "I want to kill myself", "panic": "I'm having a panic attack", "depression": "I feel so hopeless"}


class Model:
    """Numbers that depend on the text alone."""

    width, row = 384, 1536

    def words(self) -> list[str]:
        return ["river", "barn"]

    def pieces(self, text: str) -> Iterator[NDArray[np.float32]]:
        yield np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.row).astype(np.float32)


def written(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    numbered = ({"id": f"{name}:{number}", **row} for number, row in enumerate(rows))
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, numbered)), encoding="utf-8")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    own, shared = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("shared")
    plain = [" ".join(parts) for parts in product(WHO, WHAT, WHERE)]
    crises = [{"text": f"{said} {where}", "cat": kind, "y": 1} for kind, said in CRISES.items() for where in plain[:30]]
    written(own, "lines", [*crises, *({"text": text, "cat": "none", "y": 0} for text in plain[40:])])
    (own / "phrases.yaml").write_text("suicide: [want to die]\nnone: [want to dine]\n", encoding="utf-8")
    (own / "replies.yaml").write_text(REPLIES, encoding="utf-8")
    written(shared, "authored", [{"text": "I want to end my life tonight", "cat": "suicide"}])
    for name in ("counselchat_q", "fic_alice", "fic_frank", "fic_treasure", "crd3_cal", "crd3_dev"):
        written(shared, name, [{"text": f"{name} {text}", "y": 0} for text in plain[:30]])
    written(shared, "goe_dev", [{"text": text, "cat": "joy" if "sings" in text else "anger"} for text in plain])
    for name in ("dia_train", "dia_val"):
        rows = [{"text": text, "ctx": "hello", "cat": "Risk Ignorance", "y": len(text) % 2} for text in plain[:40]]
        written(shared, name, rows)
    return Sources(own, shared)


def trained(sources: Sources, file: Path) -> Made:
    model: object = Model()
    embeddings = Embeddings(model, file, "a stamp")  # type: ignore[arg-type]
    return train(sources, embeddings, "a model", "2026-01-01", lambda _: None)


def test_the_same_lines_give_the_same_bytes_also_where_embeddings_are_kept(sources: Sources, tmp_path: Path) -> None:
    first = trained(sources, tmp_path / "kept.sqlite")
    assert set(first.files) == {HEAD, DEEP, CARD, PAGE}
    assert trained(sources, tmp_path / "kept.sqlite").files == first.files

    card = read_card(first.files[CARD])
    for head in (card.statistical, card.deep):
        assert set(head.weighing.shares) == {*KINDS, CRISIS}
        assert head.weighing.rules["suicide.act@1"] > 0
        assert head.figures["crises by another hand"]["warned of"] == 1.0
        assert head.figures["other role-play"]["player: warned of"] <= 0.1


def test_an_unsafe_reply_and_its_twin_stand_in_the_same_frames_and_in_the_same_part(sources: Sources) -> None:
    made = [it for it in replies(read_templates(sources.authored / "replies.yaml")) if "way" in it.template]
    unsafe = [it.text for it in made if it.category == "method"]
    twins = [it.text for it in made if it.category == "none"]
    assert unsafe == [
        "I know a quick way for you",
        "I know a sure way for you",
        "The rain stops. I know a sure way for you",
    ]
    assert twins == [it.replace("way for you", "road to the mill") for it in unsafe]
    assert len({part_of(it.template) for it in made}) == 1


def test_what_one_sentence_model_made_is_not_taken_for_anothers(tmp_path: Path) -> None:
    class Other(Model):
        def pieces(self, text: str) -> Iterator[NDArray[np.float32]]:
            yield np.ones(self.row, np.float32)

    one: object = Model()
    other: object = Other()
    before = Embeddings(one, tmp_path / "kept.sqlite", "one").of(["hello"])  # type: ignore[arg-type]
    assert not np.array_equal(Embeddings(other, tmp_path / "kept.sqlite", "other").of(["hello"]), before)  # type: ignore[arg-type]
