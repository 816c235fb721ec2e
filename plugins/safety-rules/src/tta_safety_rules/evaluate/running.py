"""Run the checks over rows: each text once, a conversation's turns in their order with the state carried on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from tta_safety import About, Channel, Verdict

from .reading import Row

NAME = "safety-rules"


class Judgement(Protocol):
    """What an examiner says of a text: `tta_safety_rules.fusion.Judged` is one."""

    @property
    def verdict(self) -> Verdict:
        """The verdict."""

    @property
    def risks(self) -> Mapping[str, float]:
        """The risk by category."""

    @property
    def escalates(self) -> bool:
        """Whether a person would be asked for."""


class Examiner(Protocol):
    """Whatever examines a text as the plugin does: `tta_safety_rules.checker.Checker` is one."""

    async def examine(self, text: str, channel: Channel, about: About, *, state: bytes = b"") -> Judgement:
        """Judge a text."""


class Scored(msgspec.Struct, frozen=True):
    """One row as it was judged; ``level`` is the status where there is no level. Written as a line of ``--scores``."""

    id: str
    level: str
    risk: float
    risks: Mapping[str, float]
    kinds: Sequence[str]
    escalate: bool
    microseconds: int
    flags: Sequence[str] = ()

    @property
    def warned(self) -> bool:
        """Whether it is a warning or more."""
        return self.level in {"warning", "blocked"}


async def examine_rows(examiner: Examiner, rows: Sequence[Row], channel: Channel) -> list[Scored]:
    """Judge rows, in the order of their file."""
    found: dict[int, Scored] = {}
    for turns in conversations(rows):
        state = b""
        for turn, place in enumerate(turns, start=1):
            row = rows[place]
            about = About(turn=turn, before="" if channel == "player" else row.context)
            began = time.perf_counter_ns()
            judged = await examiner.examine(row.text, channel, about, state=state)
            taken = (time.perf_counter_ns() - began) // 1000
            verdict = judged.verdict
            state = verdict.state
            found[place] = Scored(
                row.id, verdict.level or verdict.status, verdict.risk,
                {name: round(risk, 6) for name, risk in sorted(judged.risks.items())},
                verdict.kinds, judged.escalates, taken, verdict.flags,
            )  # fmt: skip
    return [found[place] for place in range(len(rows))]


def conversations(rows: Sequence[Row]) -> Iterable[list[int]]:
    """Return the places of each conversation's turns in their order; a row without a conversation is one by itself."""
    grouped: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row.conversation:
            grouped.setdefault(row.conversation, []).append(place)
        else:
            yield [place]
    for places in grouped.values():
        # Where turns aren't numbered, the file's order is theirs: sorting is stable.
        yield sorted(places, key=lambda place: rows[place].turn)
