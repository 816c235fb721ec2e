"""Following texts from an agent to wherever somebody can read: each has a mark, and is looked for on every surface."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tta_agents import AgentError, AgentSpec, StepContext
from tta_kernel import Event, Kernel
from tta_kernel.testing import published
from tta_orchestration import ORCHESTRATION, OrchestrationResponse
from tta_orchestration.testing import Scene, Teller
from tta_play.screen import Screen
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS

MARK = re.compile(r"Zq[a-z]+x")
SAFE = Verdict("checked", "safe")
PIECES = ("Zqonex is told. ", "Zqtwox is ", "told. ", "Zqlastx is told.")
WORLD = {"turns": 1, "name": "Zqnamex", "Zqkeyx": [{"deep": ("a Zqdeepx",)}], "raw": b"Zqrawx"}


class Told(msgspec.Struct, frozen=True):
    """What a `Leaky` agent answers: a world of any shape."""

    text: str
    world: dict[str, Any]


class Leaky(Teller):
    """An agent that puts a mark into every field that it can fill."""

    spec = AgentSpec("teller", "tells", Scene, Told, timeout=2.0)

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        for piece in PIECES:
            await ctx.emit(piece)
        return Told("".join(PIECES), WORLD)


class Whole(Leaky):
    """It emits nothing, and answers all at once."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        return Told("".join(PIECES), WORLD)


class OwnError(Leaky):
    """It tells a part, and fails in words of its own."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        await ctx.emit(PIECES[0])
        await ctx.emit(PIECES[1])
        raise AgentError("Zqcodex", "because of Zqdetailx")


class OwnErrorAtOnce(Leaky):
    """It fails in words of its own, under a code of ours."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        raise AgentError("bad_output", "because of Zqdetailx")


class OwnCode(Leaky):
    """It fails with a whole text as the code."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        raise AgentError("Zqcodex is what it says", retryable=True)


class Raising(Leaky):
    """It raises what holds a text, with a note, a cause, and a name."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        await ctx.emit(PIECES[0])
        odd = ValueError("Zqraisedx")
        odd.add_note("Zqnotex")
        raise odd from RuntimeError("Zqcausex")


class Contradicting(Leaky):
    """Its pieces are not its text."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        await ctx.emit(PIECES[0])
        return Told("Zqotherx is told.", WORLD)


class Nonsensical(Leaky):
    """Its answer has no field that was asked for."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        return {"Zqfieldx": "Zqvaluex"}


class Misshapen(Leaky):
    """Its answer's fields are of other types."""

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        return Told({"Zqfieldx": "Zqvaluex"}, ["Zqnamex"])  # type: ignore[arg-type]  # that is its misbehaviour


AGENTS = (
    Leaky, Whole, OwnError, OwnErrorAtOnce, OwnCode, Raising, Contradicting, Nonsensical, Misshapen,
)  # fmt: skip


class Seen(msgspec.Struct):
    """What can be read of a turn: by its player, and by operators; by surface."""

    player: dict[str, str]
    operator: dict[str, str]

    def leaks(self, approved: Iterable[str], said: str = "") -> list[str]:
        """Name each surface with a mark that stands in no approved text, or, for operators, with any at all."""
        may = set(MARK.findall("\n".join(approved)))
        found = [
            f"{mark} on {surface}: …{text[max(0, text.find(mark) - 80) :][:160]}…"
            for surface, text in self.player.items()
            for mark in set(MARK.findall(text)) - may
        ]
        found += [
            f"{mark} on {surface}: …{text[max(0, text.find(mark) - 80) :][:160]}…"
            for surface, text in self.operator.items()
            for mark in set(MARK.findall(text))
        ]
        found += [f"what was said on {surface}" for surface, text in self.operator.items() if said and said in text]
        return found


class Approving:
    """A check that finds everything safe, and remembers it; ``stranger`` answers the call of this number instead.

    Calls are counted by channel.
    """

    def __init__(self, channel: Channel | None = None, number: int = 0, stranger: Any = None) -> None:
        self._at, self._stranger = (channel, number), stranger
        self._calls: dict[str, int] = {}
        self.approved: list[str] = []
        self.judged = ""
        """The text that the stranger was given."""
        self.asked: list[tuple[Channel, int]] = []

    async def __call__(self, text: str, channel: Channel, about: About) -> Any:
        number = self._calls.get(channel, 0)
        self._calls[channel] = number + 1
        self.asked.append((channel, number))
        if (channel, number) == self._at:
            self.judged = text
            return await self._stranger()
        self.approved.append(text)
        return SAFE


async def play(kernel: Kernel, said: str, log: Sequence[str], folder: Path) -> Seen:
    """Play a turn to a reader, and return all that can be read of it."""
    with published(kernel, Event) as events:
        async with kernel.get(ORCHESTRATION).stream_user_input(said, "s-1", user="anna") as stream:
            pieces = [piece async for piece in stream]
        response = stream.response
        told = as_text(await events.rest())
    return await seen(kernel, response, pieces, log, folder, told)


async def seen(
    kernel: Kernel, response: OrchestrationResponse, pieces: Sequence[str], log: Sequence[str], folder: Path, told: str
) -> Seen:  # fmt: skip
    stored = await kernel.get(SESSIONS).get("s-1")
    player = {
        "pieces": "".join(pieces),
        "text": response.text,
        "notices": "\n".join(response.notices),
        "steps": as_text(response.steps),
        "updated context": as_text(response.updated_context),
        "response": as_text(response),
        "session": as_text(stored.context if stored else {}),
        **screens(response, folder),
    }
    return Seen(player, {"log": "\n".join(log), "events": told})


def screens(response: OrchestrationResponse, folder: Path) -> Mapping[str, str]:
    found = {}
    world = response.updated_context.get("world")
    ways: dict[str, Any] = {
        "tta play": lambda screen: screen.story(response.text),
        "tta play --json": lambda screen: screen.json(response),
        "tta play --trace": lambda screen: screen.trace(response),
        ":world": lambda screen: screen.json({"world": world}),
    }
    for name, show in ways.items():
        with (folder / "screen").open("w") as file:
            show(Screen(file))
        found[name] = (folder / "screen").read_text()
    return found


def as_text(value: object) -> str:
    """Return all that a value holds, whatever of it is meant to be shown."""
    return msgspec.json.encode(value, enc_hook=repr).decode()
