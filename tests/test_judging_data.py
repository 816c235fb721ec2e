"""The lines for judging are nobody's copy: not of those for training, and not of each other."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from tta_safety.model import CATEGORIES

GRAM = 5
"""Characters: so a changed word or ending doesn't hide a copy."""
MOST = 0.6
"""How much of all their grams two lines may have in common."""
SHORT = 24
"""Below so many characters lines are compared whole: "look around" may well be typed by two hands."""

KNOWN = {("train:self_harm:0003", "train:self_harm:0369")}
"""What one half says twice; found when the head had been trained with it, it goes with the next training."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    text: str
    cat: str
    y: Literal[0, 1]
    group: str
    pair: str = ""
    ctx: str = ""


class Text(msgspec.Struct, frozen=True):
    """What is compared of a line, of whichever file: others may have more fields, or no id."""

    text: str
    pair: str = ""
    id: str = ""


@pytest.fixture(scope="module")
def data(root: Path) -> Path:
    return root / "plugins/safety-rules/data"


def judging(data: Path) -> list[Line]:
    files = sorted((data / "judge").glob("*.jsonl"))
    return [msgspec.json.decode(line, type=Line) for path in files for line in path.read_bytes().splitlines()]


def texts(folder: Path) -> list[Text]:
    files = sorted(folder.glob("*.jsonl"))
    return [msgspec.json.decode(line, type=Text) for path in files for line in path.read_bytes().splitlines()]


def folded(text: str) -> str:
    """Leave of a text what two spellings of it have in common; emoji stay, as some lines are little else."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[!-/:-@\[-`{-~’‘“”…–]", " ", plain).split())


def grams(text: str) -> frozenset[str]:
    return frozenset(text[start : start + GRAM] for start in range(len(text) - GRAM + 1)) or frozenset((text,))


def alike(one: str, other: str) -> bool:
    """Tell whether two folded texts are near-duplicates, by the share of the grams that both have."""
    if min(len(one), len(other)) < SHORT:
        return one == other
    first, second = grams(one), grams(other)
    return len(first & second) > MOST * len(first | second)


def copies(ones: Sequence[Text], others: Sequence[Text]) -> list[tuple[str, str]]:
    """Find what is alike, but for the two of a pair, which are so on purpose, and what is `KNOWN`.

    Two that have more than `MOST` of their grams in common share one of the rarest grams of each; so only those that do
    are compared, and thousands of lines take a moment.
    """
    own, their = [grams(folded(one.text)) for one in ones], [grams(folded(other.text)) for other in others]
    often = Counter(itertools.chain.from_iterable((*own, *their)))

    def rarest(of: frozenset[str]) -> list[str]:
        return sorted(of, key=lambda gram: (often[gram], gram))[: int((1 - MOST) * len(of)) + 1]

    known: dict[str, list[int]] = defaultdict(list)
    for number, of in enumerate(their):
        for gram in rarest(of):
            known[gram].append(number)
    found: list[tuple[str, str]] = []
    for one, of in zip(ones, own, strict=True):
        near = {number for gram in rarest(of) for number in known.get(gram, ())}
        for other in (others[number] for number in sorted(near)):
            same = other is one or bool(one.pair and one.pair == other.pair)
            same = same or not KNOWN.isdisjoint(((one.id, other.id), (other.id, one.id)))
            if not same and alike(folded(one.text), folded(other.text)):
                found.append((one.text, other.text))
    return found


def test_a_copy_with_other_marks_or_another_word_is_found_and_a_minimal_pair_is_not() -> None:
    said = "the little box under the bed came out tonight, I had promised"
    assert alike(folded(said), folded(said.upper() + "!!"))
    assert alike(folded(said), folded(said.replace("little", "small") + " so"))
    assert not alike(folded(said), folded("the little cat under the bed came out today, as I had hoped"))
    other = Text(said.replace(",", "…"))
    assert copies([Text(said)], [other, Text("something else altogether, and long")]) == [(said, other.text)]
    assert copies([Text(said, "p")], [Text(other.text, "p")]) == []


def test_each_line_is_whole_and_its_id_its_own(data: Path) -> None:
    lines = judging(data)
    assert len({line.id for line in lines}) == len(lines)
    assert {line.cat for line in lines} <= {*CATEGORIES, "none"}
    assert all(line.text.strip() and (line.cat == "none") == (line.y == 0) for line in lines)
    pairs: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        if line.pair:
            pairs[line.pair].append(line.y)
    assert all(sorted(ys) == [0, 1] for ys in pairs.values())


@pytest.mark.slow
def test_no_line_for_judging_says_again_what_one_for_training_says(data: Path) -> None:
    assert copies(texts(data / "judge"), texts(data / "train")) == []


@pytest.mark.slow
@pytest.mark.parametrize("half", ["judge", "train"])
def test_no_line_says_again_what_another_of_its_own_half_says(data: Path, half: str) -> None:
    lines = texts(data / half)
    assert copies(lines, lines) == []
