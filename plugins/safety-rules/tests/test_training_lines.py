"""The lines that the heads learn from: whole, each of them once, and no two nearly the same."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TRAIN = Path(__file__).parents[1] / "data/train"
KINDS = {
    "suicide",
    "self_harm",
    "substance",
    "abuse",
    "violence",
    "psychosis",
    "eating_disorder",
    "panic",
    "depression",
}
FAULTS = {"method", "dosage", "abandonment", "delusion", "false_claim", "toxicity", "boundary", "ethics"}
LENGTH = 5  # words that two lines must have in a row for it to count as the same phrase
ALIKE = 0.35  # of the shorter line's phrases
ALIKE_SHORT = 0.5  # the same where it has fewer phrases than SHORT: idioms are no copies
SHORT = 6


def words(text: str) -> list[str]:
    """Split a text as a comparison sees it: lower case, nothing but letters and digits."""
    return re.sub(r"[^a-z0-9 ]+", "", " ".join(text.lower().split())).split()


def phrases(text: str) -> set[tuple[str, ...]]:
    """Return each run of five words of a text."""
    said = words(text)
    return {tuple(said[at : at + LENGTH]) for at in range(len(said) - LENGTH + 1)}


def alike(one: set[tuple[str, ...]], other: set[tuple[str, ...]], common: int) -> bool:
    """Tell whether two lines are nearly the same; one phrase alone in a long line is no copy."""
    shorter, longer = sorted((len(one), len(other)))
    if shorter == 1 and longer > LENGTH - 1:
        return False
    return common > shorter * (ALIKE_SHORT if shorter < SHORT else ALIKE)


def near_duplicates(lines: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the ids of lines that share most of their phrases, the two of a minimal pair apart."""
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    found = [phrases(line["text"]) for line in lines]
    for at, own in enumerate(found):
        shared = Counter(before for phrase in own for before in holders[phrase])
        for before, common in shared.items():
            paired = "pair" in lines[at] and lines[at]["pair"] == lines[before].get("pair")
            if not paired and alike(own, found[before], common):
                yield lines[before]["id"], lines[at]["id"]
        for phrase in own:
            holders[phrase].append(at)


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(TRAIN.glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def test_each_line_has_its_fields(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        story = line.get("channel") == "story"
        assert line["id"].startswith("train:")
        assert line["text"].strip() == line["text"] != ""
        assert line["group"]
        assert line["y"] in (0, 1)
        assert line["cat"] in (FAULTS if story else KINDS) | ({"none"} if line["y"] == 0 else set())
        assert bool(line.get("ctx")) == story


def test_no_id_is_given_twice(lines: list[dict[str, Any]]) -> None:
    assert [id_ for id_, times in Counter(line["id"] for line in lines).items() if times > 1] == []


def test_a_pair_is_one_line_of_each_label(lines: list[dict[str, Any]]) -> None:
    pairs: defaultdict[str, list[int]] = defaultdict(list)
    for line in lines:
        if "pair" in line:
            pairs[line["pair"]].append(line["y"])
    assert len(pairs) >= 300
    assert [name for name, labels in pairs.items() if sorted(labels) != [0, 1]] == []


def test_no_two_lines_are_the_same(lines: list[dict[str, Any]]) -> None:
    times = Counter(" ".join(words(line["text"])) for line in lines)
    assert [text for text, seen in times.items() if seen > 1] == []


def test_no_two_lines_are_nearly_the_same(lines: list[dict[str, Any]]) -> None:
    assert list(near_duplicates(lines)) == []


def test_a_template_with_a_filled_slot_would_be_found() -> None:
    lines = [
        {"id": "a", "text": "I have had a long day at the bakery and want to go home"},
        {"id": "b", "text": "I have had a long day at the office and want to go home"},
    ]
    assert list(near_duplicates(lines)) == [("a", "b")]
