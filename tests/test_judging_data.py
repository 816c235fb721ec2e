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


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    text: str
    cat: str
    y: Literal[0, 1]
    group: str
    pair: str = ""
    ctx: str = ""


class Text(msgspec.Struct, frozen=True):
    """What is compared of a line, of whichever file: others may have more fields."""

    text: str
    pair: str = ""


@pytest.fixture(scope="module")
def data(root: Path) -> Path:
    return root / "plugins/safety-rules/data"


def judging(data: Path) -> list[Line]:
    files = sorted((data / "judge").glob("*.jsonl"))
    return [msgspec.json.decode(line, type=Line) for path in files for line in path.read_bytes().splitlines()]


def texts(folder: Path) -> list[Text]:
    files = sorted(folder.glob("*.jsonl"))
    return [msgspec.json.decode(line, type=Text) for path in files for line in path.read_bytes().splitlines()]


def templates(path: Path) -> list[Text]:
    """Read the replies that are written as templates, each choice at its first; those are alike among themselves."""
    replies: dict[str, list[dict[str, str]]] = msgspec.yaml.decode(path.read_bytes())["replies"]
    sides = (one[side] for of in replies.values() for one in of for side in ("unsafe", "twin"))
    return [Text(re.sub(r"\[([^|\]]*)\|[^\]]*\]", r"\1", side)) for side in sides]


def folded(text: str) -> str:
    """Leave of a text what two spellings of it have in common; emoji stay, as some lines are little else."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[!-/:-@\[-`{-~’‘“”…–]", " ", plain).split())


def grams(text: str) -> frozenset[str]:
    return frozenset(text[start : start + GRAM] for start in range(len(text) - GRAM + 1)) or frozenset((text,))


class Folded:
    """What is compared of a text: made once, since each is compared with hundreds of others."""

    def __init__(self, text: str) -> None:
        self.text = folded(text)
        self.grams = grams(self.text)


def alike(one: Folded, other: Folded) -> bool:
    """Tell whether two texts are near-duplicates, by the share of the grams that both have."""
    if min(len(one.text), len(other.text)) < SHORT:
        return one.text == other.text
    fewer, more = sorted((len(one.grams), len(other.grams)))
    if fewer <= MOST * more:
        return False  # Even if all of the shorter one's were the longer one's.
    common = len(one.grams & other.grams)
    return common > MOST * (fewer + more - common)


def copies(ones: Sequence[Text], others: Sequence[Text]) -> list[tuple[str, str]]:
    """Find what is alike, but for the two of a pair, which are so on purpose.

    Two that have more than `MOST` of their grams in common share one of the rarest grams of each; so only those that do
    are compared, and thousands of lines take a moment.
    """
    own, their = [Folded(one.text) for one in ones], [Folded(other.text) for other in others]
    often = Counter(gram for each in (*own, *their) for gram in each.grams)

    def rarest(of: frozenset[str]) -> list[str]:
        return sorted(of, key=lambda gram: (often[gram], gram))[: int((1 - MOST) * len(of)) + 1]

    known: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(their):
        for gram in rarest(each.grams):
            known[gram].append(number)
    found: list[tuple[str, str]] = []
    for at, (one, each) in enumerate(zip(ones, own, strict=True)):
        near = set(itertools.chain.from_iterable(known.get(gram, ()) for gram in rarest(each.grams)))
        if ones is others:
            near = {number for number in near if number > at}
        alikes = [others[number] for number in sorted(near) if alike(each, their[number])]
        found += [(one.text, other.text) for other in alikes if not (one.pair and one.pair == other.pair)]
    return found


def test_a_copy_with_other_marks_or_another_word_is_found_and_a_minimal_pair_is_not() -> None:
    said = "the little box under the bed came out tonight, I had promised"
    assert alike(Folded(said), Folded(said.upper() + "!!"))
    assert alike(Folded(said), Folded(said.replace("little", "small") + " so"))
    assert not alike(Folded(said), Folded("the little cat under the bed came out today, as I had hoped"))
    other = Text(said.replace(",", "…"))
    assert copies([Text(said)], [other, Text("something else altogether, and long")]) == [(said, other.text)]
    assert copies([Text(said, "p")], [Text(other.text, "p")]) == []
    both = [Text(said), other]
    assert copies(both, both) == [(said, other.text)]


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


def test_no_line_for_judging_says_again_what_one_for_training_says(data: Path) -> None:
    assert copies(texts(data / "judge"), [*texts(data / "train"), *templates(data / "train/replies.yaml")]) == []


@pytest.mark.parametrize("half", ["judge", "train"])
def test_no_line_says_again_what_another_of_its_own_half_says(data: Path, half: str) -> None:
    lines = texts(data / half)
    assert copies(lines, lines) == []
