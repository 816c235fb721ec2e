"""The whole system in one process, as ``config/testing.yaml`` has it, in memory; scripts are played on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tta_kernel import Kernel
from tta_orchestration import ORCHESTRATION
from tta_program import load

from .rubric import Judged, Turn, judge
from .script import TURNS, Player, Script

ROOT = Path(__file__).resolve().parents[2]
Answers = Callable[[str, str], Awaitable[Turn]]
"""Answers what was typed in a session, which is the second argument."""


@asynccontextmanager
async def system() -> AsyncIterator[Answers]:
    """Run the system, and yield what answers a turn."""
    async with Kernel(load(ROOT / "config", environment="testing"), installed=True) as kernel:

        async def answer(text: str, session: str) -> Turn:
            response = await kernel.get(ORCHESTRATION).process_user_input(text, session, user=session, seed=7)
            verdict = response.verdicts.get("player")
            kinds = verdict.kinds if verdict else ()
            doubtful = bool(verdict and verdict.doubtful)
            return Turn(text, response.text, response.outcome, kinds, doubtful)

        yield answer


async def converse(script: Script, answer: Answers) -> Judged:
    """Play one script to its end, and judge it."""
    player = Player(script)
    turns: list[Turn] = []
    for _ in range(TURNS):
        line = player.line(turns[-1].answer if turns else "")
        turns.append(await answer(line, script.id))
    return judge(script, turns)


async def converse_all(scripts: Sequence[Script]) -> list[Judged]:
    """Play scripts on one system, one after the other."""
    async with system() as answer:
        return [await converse(script, answer) for script in scripts]


def reds(judged: Sequence[Judged]) -> Mapping[str, list[str]]:
    """Return which conversations are red, by item."""
    found: dict[str, list[str]] = {}
    for one in judged:
        for name, colour in one.items.items():
            if colour == "red":
                found.setdefault(name, []).append(one.script.id)
    return found
