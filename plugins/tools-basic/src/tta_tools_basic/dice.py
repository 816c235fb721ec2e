"""Dice and chance for a story. With a seed the same comes of the same: so a turn that is made twice tells one thing."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from tta_tools import ToolError, tool

MOST_DICE = 100
MOST_SIDES = 1000
_TERM = re.compile(r"(?P<sign>[+-])(?:(?P<count>[0-9]{0,3})d(?P<sides>[0-9]{1,4}|%)|(?P<number>[0-9]{1,6}))")

Dice = Annotated[str, Meta(min_length=1, max_length=60, description="such as 3d6+2, d20, 2d8-1d4 or d%")]
Seed = Annotated[int, Meta(ge=0, le=2**53 - 1, description="makes the result the same each time")]


class Roll(Struct, frozen=True):
    """What the dice show, in the order in which they were named, and the sum of all."""

    total: int
    dice: list[int]


class Chance(Struct, frozen=True):
    """Whether it happens, and the number from 0 up to 100 that decided."""

    happens: bool
    drawn: float


class Pick(Struct, frozen=True):
    """What was drawn, and where it stood, from 0."""

    choice: str
    index: int


# None is idempotent: equal calls at the same time would share one result, and two dice would fall alike.
@tool(name="dice.roll", version="1.0.0", capabilities=("chance",))
def roll(dice: Dice, seed: Seed | None = None) -> Roll:
    """Roll dice and add up what they show."""
    source = _source(seed)
    total = 0
    shown = []
    for sign, count, sides in _terms(dice):
        # A number is a die that always shows it.
        fallen = [source.randint(1, sides) for _ in range(count)] if count else [sides]
        total += sign * sum(fallen)
        shown += fallen if count else []
    return Roll(total, shown)


@tool(name="dice.chance", version="1.0.0", capabilities=("chance",))
def chance(
    percent: Annotated[float, Meta(ge=0, le=100, description="how likely it is")], seed: Seed | None = None
) -> Chance:
    """Decide whether something happens."""
    drawn = _source(seed).random() * 100
    return Chance(drawn < percent, drawn)


@tool(name="dice.pick", version="1.0.0", capabilities=("chance",))
def pick(
    choices: Annotated[list[Annotated[str, Meta(max_length=1000)]], Meta(min_length=1, max_length=100)],
    seed: Seed | None = None,
) -> Pick:
    """Draw one of several, each as likely as the others."""
    index = _source(seed).randrange(len(choices))
    return Pick(choices[index], index)


def _source(seed: int | None) -> random.Random:
    return random.Random(seed) if seed is not None else random.SystemRandom()  # noqa: S311 - a story's dice


def _terms(dice: str) -> Iterator[tuple[int, int, int]]:
    """Yield sign, number of dice (0: it is no die), and sides of each term."""
    text = "".join(dice.lower().split())
    text = text if text[:1] in ("+", "-") else f"+{text}"
    at = 0
    left = MOST_DICE
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None:
            raise ToolError("invalid_arguments", "dice.roll: these are no dice: they read like 3d6+2", path="dice")
        at = term.end()
        sign = -1 if term["sign"] == "-" else 1
        if term["number"]:
            yield sign, 0, int(term["number"])
            continue
        count = int(term["count"] or 1)
        sides = 100 if term["sides"] == "%" else int(term["sides"])
        left -= count
        if left < 0 or not count or not 2 <= sides <= MOST_SIDES:
            bounds = f"1 to {MOST_DICE} dice in all, of 2 to {MOST_SIDES} sides"
            raise ToolError("invalid_arguments", f"dice.roll: there may be {bounds}", path="dice")
        yield sign, count, sides
