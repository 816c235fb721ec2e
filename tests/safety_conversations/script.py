"""The players: what each writes in twenty turns, a part of it depending on what they were asked.

Arcs were written by hand (``arcs/``), each with some ways to say the decisive line. A conversation is an arc, one of
these ways, a beginning and a way to react (``pools.yaml``); there is no chance in it, so a failure comes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from .listening import Asked, asked

TURNS = 20
HERE = Path(__file__).parent

Pace = Literal["at once", "slow", "veiled", "denial", "joking", "in character"]
Reaction = Literal["answers", "evades", "angry", "story"]
Expect = Literal["crisis", "doubt", "nothing"]

REACTIONS: tuple[Reaction, ...] = ("answers", "evades", "angry", "story")
_ORDER: tuple[Asked, ...] = ("direct", "plan", "means", "intent", "safe", "person")
_PATIENCE = 2
"""How many questions somebody who evades, or is angry, lets pass before they answer one."""


class Arc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one person's trouble comes out, or that they have none (``lines`` is all they type then)."""

    id: str
    kinds: tuple[str, ...]
    expect: Literal["crisis", "doubt"] = "crisis"
    pace: Pace = "at once"
    before: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    asked: Mapping[Asked, str] = {}
    after: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()


class Pools(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What any player may type around it."""

    openings: tuple[tuple[str, ...], ...]
    reactions: Mapping[Reaction, tuple[str, ...]]
    closings: tuple[tuple[str, ...], ...]


class Script(msgspec.Struct, frozen=True):
    """One player's part: lines up to the decisive one, the ``clear``-th from 0, and what they have to say after it."""

    id: str
    kinds: tuple[str, ...]
    expect: Expect
    reaction: Reaction
    start: tuple[str, ...]
    replies: Mapping[Asked, str]
    rest: tuple[str, ...]

    @property
    def clear(self) -> int:
        """The turn, counted from 0, in which anybody would have seen it; there is none without a crisis."""
        return len(self.start) - 1


class Player:
    """Plays a script: `line` is what is typed next, after the last answer."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._start = iter(script.start)
        self._rest = iter(script.rest)
        self._replies = dict(script.replies)
        self._patience = _PATIENCE if script.reaction in ("evades", "angry") else 0

    def line(self, answer: str) -> str:
        """Return what the player types after an answer; "" is the answer before the first line."""
        first = next(self._start, None)
        if first is not None:
            return first
        reply = self._reply(answer)
        return next(self._rest) if reply is None else reply

    def _reply(self, answer: str) -> str | None:
        questions = asked(answer)
        wanted = [what for what in _ORDER if what in questions and what in self._replies]
        if not wanted or self._script.reaction == "story":
            return None
        if self._patience:
            self._patience -= 1
            return None
        return self._replies.pop(wanted[0])


def scripts() -> list[Script]:
    """Compose all conversations, in the same order each time."""
    pools = msgspec.yaml.decode((HERE / "pools.yaml").read_bytes(), type=Pools)
    found = [script for number, arc in enumerate(arcs()) for script in _variants(arc, number, pools)]
    assert len({script.id for script in found}) == len(found)
    return found


def arcs() -> list[Arc]:
    """Read all arcs."""
    return [
        arc
        for path in sorted((HERE / "arcs").glob("*.yaml"))
        for arc in msgspec.yaml.decode(path.read_bytes(), type=list[Arc])
    ]


def _variants(arc: Arc, number: int, pools: Pools) -> Iterator[Script]:
    if arc.lines:
        for variant in range(4):
            yield _control(arc, number, variant, pools)
        return
    for variant in range(5 if arc.expect == "crisis" else 4):
        yield _disclosure(arc, number, variant, pools)


def _control(arc: Arc, number: int, variant: int, pools: Pools) -> Script:
    lines = arc.lines[variant % len(arc.lines)]
    opening = pools.openings[(number + 3 * variant) % len(pools.openings)]
    closing = pools.closings[(number + variant) % len(pools.closings)]
    start = (*opening[: variant // 2 * 3], *lines, *closing)
    return Script(f"{arc.id}-{variant}", (), "nothing", "story", start[:TURNS], {}, pools.reactions["story"])


def _disclosure(arc: Arc, number: int, variant: int, pools: Pools) -> Script:
    reaction: Reaction = REACTIONS[variant % len(REACTIONS)]
    opening = pools.openings[(number + 3 * variant) % len(pools.openings)]
    length = variant % 2 if arc.pace == "at once" else 1 + (number + variant) % 3
    start = (*opening[:length], *arc.before, arc.clear[variant % len(arc.clear)])
    closing = pools.closings[(number + variant) % len(pools.closings)]
    own, common = arc.after, pools.reactions[reaction]
    # Somebody who wants the story says so first; others go on about themselves between what anybody says.
    rest = (*common[:2], *own, *common[2:]) if reaction == "story" else tuple(_between(own, common))
    return Script(
        f"{arc.id}-{variant}",
        arc.kinds,
        arc.expect,
        reaction,
        start,
        arc.asked,
        (*rest, *closing, *pools.reactions["story"]),
    )


def _between(own: tuple[str, ...], common: tuple[str, ...]) -> Iterator[str]:
    for number in range(max(len(own), len(common))):
        yield from own[number : number + 1]
        yield from common[number : number + 1]
