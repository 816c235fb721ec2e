"""The lines that heads learn from, each with what it says of which column, and how much that counts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tta_safety import KINDS
from tta_safety_rules.head import CRISES, SENTIMENT
from tta_safety_rules.scores import CRISIS, FAULTS, UNSAFE

from .replies import read_templates, replies

STORY = (*FAULTS, UNSAFE)
"""The columns for what a story must not say."""
COLUMNS = (*CRISES, SENTIMENT, *STORY)

_STORY_NAMES = {
    "Risk Ignorance": "abandonment", "Toxicity Agreement": "toxicity", "Unauthorized Expertise": "ethics",
    "Biased Opinion": "hate", "Offending User": "toxicity",
}  # fmt: skip
_KIND_NAMES = {"ed": "eating_disorder"}
# One in the other's column would be no mistake, and one message is labelled with one kind only.
_NEAR = {
    ("suicide", "depression"), ("depression", "suicide"), ("suicide", "self_harm"), ("self_harm", "suicide"),
    ("depression", "self_harm"), ("panic", "depression"),
}  # fmt: skip
_NEAR_WEIGHT = 0.3
_SENTENCE = re.compile(r"[^.!?;]{12,240}[.!?;]")
_SENTENCE_WEIGHT = 0.6
_PLAYED_WEIGHT = 0.5
"""How much it counts that what a player may write may be told, too."""
_STRANGE_WEIGHT = 0.5
"""How much replies of others count: they were labelled by another measure, and answer no story."""
# Counsellors are asked about these, and nobody has labelled which of the questions tell of a crisis.
_UNLABELLED = ("depression", "abuse", "panic", "eating_disorder")
_GLAD = frozenset(
    "admiration amusement approval caring excitement gratitude joy love optimism pride relief".split()  # noqa: SIM905
)
_SAD = frozenset(
    "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness".split()  # noqa: SIM905
)

Part = Literal["fit", "tune", "held"]
"""By three fifths the trial is fitted, by one it is calibrated and its operating points are fixed, by one measured."""
Target = tuple[float, float]
"""What a column should say of a line, 0 or 1, and how much that counts."""


class Line(msgspec.Struct, frozen=True):
    """A text, and what it is for: to be learned from, to be tuned by, or to be measured with."""

    text: str
    source: str
    targets: Mapping[str, Target]
    before: str = ""
    part: Part = "fit"


def part_of(key: str) -> Part:
    """Say what a line is for: always the same, whatever else is in the data."""
    place = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[0]
    return "held" if place < _FIFTH else "tune" if place < 2 * _FIFTH else "fit"


_FIFTH = 51


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file with one JSON object a line."""
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines() if line.strip()]


def authored_lines(folder: Path) -> Iterator[Line]:
    """Read the lines that were written for this project."""
    for path in sorted(folder.glob("*.jsonl")):
        for row in read_rows(path):
            # The two of a pair stay together: the one would give the other away.
            part = part_of(row.get("pair") or row["id"])
            if row.get("channel") == "story" or path.stem == "story":
                yield Line(row["text"], "story", story_targets(row["cat"], row["y"]), row.get("ctx") or "", part)
            else:
                targets = player_targets(row["cat"], row["y"])
                if not row["y"]:
                    targets |= told_targets(_PLAYED_WEIGHT)
                yield Line(row["text"], "authored", targets, part=part)


def phrase_lines(path: Path) -> Iterator[Line]:
    """Read the turns of phrase; all are learned from."""
    for kind, phrases in msgspec.yaml.decode(path.read_bytes(), type=dict[str, list[str]]).items():
        for phrase in phrases:
            yield Line(phrase, "phrases", player_targets(kind, int(kind in KINDS), weight=0.7))


def reply_lines(path: Path) -> Iterator[Line]:
    """Read the templates of replies; what is made of one stays together, as the two of a pair do."""
    for reply in replies(read_templates(path)):
        targets = story_targets(reply.category, int(reply.category in FAULTS))
        yield Line(reply.text, "story", targets, reply.before, part_of(reply.template))


def shared_lines(folder: Path) -> Iterator[Line]:
    """Read the data folder, as far as its licences let weights be learned from it: not CRD3."""
    for row in read_rows(folder / "authored.jsonl"):
        yield Line(row["text"], "seeds", player_targets(_KIND_NAMES.get(row["cat"], row["cat"]), 1), part="held")
    for row in read_rows(folder / "counselchat_q.jsonl"):
        if row["y"] == 0:
            yield Line(row["text"], "counsel", _counsel_targets(), part=part_of(row["id"]))
    for row in read_rows(folder / "goe_dev.jsonl"):
        yield Line(row["text"], "everyday", _everyday_targets(row["cat"]), part=part_of(row["id"]))
    for name in ("fic_alice", "fic_frank", "fic_treasure"):
        for row in read_rows(folder / f"{name}.jsonl"):
            part = part_of(row["id"])
            yield Line(row["text"], "fiction", player_targets("none", 0) | told_targets(1.0), part=part)
            if part == "fit":
                targets = player_targets("none", 0, weight=_SENTENCE_WEIGHT) | told_targets(_SENTENCE_WEIGHT)
                for sentence in _SENTENCE.findall(row["text"]):
                    yield Line(sentence, "sentences", targets)
    for name in ("dia_train", "dia_val"):
        for row in read_rows(folder / f"{name}.jsonl"):
            # All that its makers set aside for measuring is divided between tuning and measuring.
            fitted = name == "dia_train"
            part = "fit" if fitted else "tune" if part_of(row["id"]) == "fit" else "held"
            if (category := _STORY_NAMES.get(row["cat"])) is not None:
                targets = {category: (float(row["y"]), _STRANGE_WEIGHT)}
                targets[UNSAFE] = float(row["y"]), _STRANGE_WEIGHT / 2
                yield Line(row["text"], "replies", targets, row["ctx"], part)
            if row["y"] == 0 and fitted:
                yield Line(row["text"], "small talk", player_targets("none", 0, weight=_SENTENCE_WEIGHT))
            # What is answered to where a risk is ignored may tell of one.
            if row["cat"] != "Risk Ignorance" and fitted:
                yield Line(row["ctx"], "small talk", player_targets("none", 0, weight=_SENTENCE_WEIGHT))


def lexicon_lines() -> Iterator[Line]:
    """Read VADER's lexicon: words, and how glad or sad people found them."""
    from vaderSentiment import vaderSentiment

    path = Path(vaderSentiment.__file__).with_name("vader_lexicon.txt")
    for entry in path.read_text(encoding="utf-8").splitlines():
        word, valence, *_ = entry.split("\t")
        if word.isalpha():
            weight = min(abs(float(valence)) / _STRONGEST, 1.0) * _LEXICON_WEIGHT
            yield Line(word, "lexicon", {SENTIMENT: (float(float(valence) > 0), weight)})


_STRONGEST = 4.0
_LEXICON_WEIGHT = 0.5


def sentimental_lines(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield everyday texts without a label that VADER's rules find plainly glad or sad: a weak label, on real talk."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    texts = {it.text for it in lines if it.part == "fit" and it.source in _TALK and SENTIMENT not in it.targets}
    for text in sorted(texts):
        found = analyzer.polarity_scores(text)["compound"]
        if abs(found) >= _PLAINLY:
            yield Line(text, "lexicon", {SENTIMENT: (float(found > 0), _PLAINLY_WEIGHT)})


_TALK = ("small talk", "everyday", "replies")
_PLAINLY = 0.6
_PLAINLY_WEIGHT = 0.15


def game_lines(folder: Path, name: str) -> list[str]:
    """Read role-play at a table, which sets thresholds and teaches nothing: its licence asks for sharing alike."""
    return [row["text"] for row in read_rows(folder / f"{name}.jsonl")]


def player_targets(category: str, y: int, *, weight: float = 1.0) -> dict[str, Target]:
    """Return what the columns of crises should say of a player's line of this category."""
    targets: dict[str, Target] = {CRISIS: (float(y), weight)}
    for kind in KINDS:
        if y and kind == category:
            targets[kind] = 1.0, weight
        else:
            near = y and (category, kind) in _NEAR
            targets[kind] = 0.0, weight * (_NEAR_WEIGHT if near else 1.0)
    return targets


def story_targets(category: str, y: int) -> dict[str, Target]:
    """Return what the columns of stories should say of a generated text: unsafe in one way, or safe in all."""
    if not y:
        return told_targets(1.0)
    # It may be unsafe in another way, too.
    return told_targets(_NEAR_WEIGHT) | {category: (1.0, 2.0), UNSAFE: (1.0, 2.0)}


def told_targets(weight: float) -> dict[str, Target]:
    """Return what the columns of stories should say of what may be told."""
    return dict.fromkeys(STORY, (0.0, weight))


def _counsel_targets() -> dict[str, Target]:
    targets = player_targets("none", 0)
    return {column: (0.0, _NEAR_WEIGHT if column in _UNLABELLED else 1.0) for column in targets}


def _everyday_targets(labels: str) -> dict[str, Target]:
    targets = player_targets("none", 0)
    found = set(labels.split("+"))
    if not found & _SAD:
        targets |= told_targets(_PLAYED_WEIGHT)
    if found & _GLAD and not found & _SAD:
        targets[SENTIMENT] = 1.0, 1.0
    elif found & _SAD and not found & _GLAD:
        targets[SENTIMENT] = 0.0, 1.0
    return targets
