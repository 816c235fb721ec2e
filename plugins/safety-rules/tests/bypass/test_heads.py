"""What evades with the shipped statistical head beside the rules, as a player's text is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import product

import pytest

from tta_safety import About, Level
from tta_safety_rules.checker import Checker
from tta_safety_rules.engine import Engine
from tta_safety_rules.head import load_head

from .generator import EMOJI, FRAMES, PLAY, devowelled, framed, pairs, perturbed

SEED = 20261130
MOVES = (
    "stack the bones", "bury him deep", "back off", "slit the sack", "feed it to the wolves", "let her go",
    "burn the witch's hut", "drown the rats", "gut the fish", "leave me here", "end this duel", "swallow it",
    "jump down", "go under", "stay dead", "bleed it dry", "behead the statue", "starve the beast", "kill the lights",
    "lie still", "wake the dead", "pull the plug", "no way out", "nothing left", "over the edge", "into the water",
)  # fmt: skip
"""Commands to a figure from which nobody learned."""
Judge = Callable[[str], Awaitable[Level | None]]


@pytest.fixture(scope="module")
def judge(engine: Engine) -> Judge:
    checker = Checker(engine, load_head())

    async def level(text: str) -> Level | None:
        return (await checker.examine(text, "player", About())).verdict.level

    return level


async def test_nearly_all_that_is_found_is_found_however_it_is_written(judge: Judge) -> None:
    texts = perturbed(SEED)
    missed = Counter([name for _, name, text in texts if await judge(text) == "safe"])

    assert 1 - missed.total() / len(texts) >= 0.95, missed


async def test_without_vowels_half_of_it_is_found(judge: Judge) -> None:
    texts = devowelled(SEED)
    assert len([text for text in texts if await judge(text) != "safe"]) / len(texts) >= 0.4


async def test_a_crisis_in_pictures_or_in_words_that_dodge_filters_is_found(judge: Judge) -> None:
    assert [text for text in EMOJI if await judge(text) == "safe"] == []


async def test_the_frame_of_fiction_hides_no_crisis_from_rules_and_head(judge: Judge) -> None:
    texts = [text for _, text in framed()]
    assert len([text for text in texts if await judge(text) == "safe"]) / len(texts) <= 0.03


async def test_a_short_command_is_no_cry_for_help(judge: Judge) -> None:
    assert [text for text in MOVES if await judge(text) != "safe"] == []


async def test_what_is_played_alarms_nobody_and_pairs_are_told_apart(judge: Judge) -> None:
    played = [*PLAY, *(frame.format(text) for frame, text in product(FRAMES, PLAY))]
    alarmed = [text for text in played if await judge(text) != "safe"]
    wrong = [pair for pair in pairs() if await judge(pair[0]) == "safe" or await judge(pair[1]) != "safe"]

    assert len(alarmed) / len(played) <= 0.03, alarmed
    assert len(wrong) / len(pairs()) <= 0.03, wrong
