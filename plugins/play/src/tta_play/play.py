"""A session at the terminal, or line by line from a pipe."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import AsyncIterator

import anyio
import anyio.to_thread
import msgspec
from rich.console import Console
from rich.text import Text

from tta_kernel import Kernel
from tta_orchestration import ORCHESTRATION, InputError, OrchestrationResponse
from tta_sessions import SESSIONS, SessionConflict
from tta_world import World, carried, here, people, visible, ways

HELP = """Write what you would like to do, in your own words: look around, go to the harbour,
take the lantern, talk to the keeper, or how you feel.
  :trace   who did what in the last turn, and who checked it
  :world   where you are, and what you know of the place
  :help    this
  :quit    leave (or end of input)"""


async def play(kernel: Kernel, options: argparse.Namespace) -> int:
    """Play until the input ends; the exit code is 0, or 1 if the one turn asked for could not be played."""
    table = _Table(kernel, options)
    if options.text:
        return 0 if await table.turn(" ".join(options.text)) else 1
    async for line in _lines(interactive=sys.stdin.isatty() and not options.json):
        if isinstance(line, bytes):
            table.refuse("that isn't UTF-8 text; send UTF-8")
        elif line.strip() in (":quit", ":q", ":exit"):
            break
        elif line.strip().startswith(":"):
            await table.command(line.strip())
        elif not line.strip() and sys.stdin.isatty():
            continue
        else:
            await table.turn(line)
    return 0


class _Table:
    def __init__(self, kernel: Kernel, options: argparse.Namespace) -> None:
        self._kernel, self._json, self._trace, self._seed = kernel, options.json, options.trace, options.seed
        self._session = options.session or f"play-{uuid.uuid4().hex[:12]}"
        self._last: OrchestrationResponse | None = None
        self._console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False, markup=False)

    async def turn(self, text: str) -> bool:
        orchestration = self._kernel.get(ORCHESTRATION)
        try:
            response = await orchestration.process_user_input(text, self._session, seed=self._seed)
        except (InputError, SessionConflict) as exc:
            self.refuse(str(exc))
            return False
        self._last = response
        if self._json:
            print(msgspec.json.encode(response).decode(), flush=True)
            return True
        for notice in response.notices:
            self._say(f"({notice})")
        # From a pipe, one line of input has one line of answer.
        self._say(response.text if sys.stdout.isatty() or self._trace else " ".join(response.text.split()))
        if self._trace:
            self._say("\n" + trace(response))
        return True

    def refuse(self, why: str) -> None:
        if self._json:
            print(msgspec.json.encode({"error": why}).decode(), flush=True)
        else:
            self._say(f"({why})")

    async def command(self, name: str) -> None:
        if name == ":trace":
            self._say(trace(self._last) if self._last else "(nothing has been played yet)")
        elif name == ":world":
            session = await self._kernel.get(SESSIONS).get(self._session)
            self._say(describe(session.context.get("world") if session else None))
        elif name == ":help":
            self._say(HELP)
        else:
            self.refuse(f"there is no {name}; there are :trace, :world, :help and :quit")

    def _say(self, text: str) -> None:
        self._console.print(Text(text))


def trace(response: OrchestrationResponse) -> str:
    """Show each step, its agent and its time in milliseconds, and who checked which text."""
    total = response.performance["total"] * 1000
    lines = [f"turn {response.turn} of {response.session}: {response.outcome}, {total:.1f} ms"]
    lines += [
        f"  {step.id:10} {step.agent:22} {step.seconds * 1000:8.1f} ms  {step.error or step.status}"
        for step in response.steps
    ]
    for channel in ("player", "story"):
        verdict = response.verdicts.get(channel)
        what = "not reached" if verdict is None else verdict.level or verdict.status
        by = f" by {', '.join(verdict.by)}" if verdict and verdict.by else ""
        lines.append(f"  {channel}'s text: {what}{by}")
    return "\n".join(lines)


def describe(stored: object) -> str:
    """Say where the player is and what is there, in plain lines."""
    if stored is None:
        return "(the story has not begun yet)"
    world = msgspec.convert(stored, World)
    held = carried(world)
    around = [thing.name for thing in visible(world) if thing not in held]
    lines = [
        f"You are at: {here(world).name}",
        f"The weather: {world.weather}",
        f"Who is here: {', '.join(person.name for person in people(world)) or 'nobody'}",
        f"What is here: {', '.join(around) or 'nothing much'}",
        f"You carry: {', '.join(thing.name for thing in held) or 'nothing'}",
        f"Ways: {', '.join(exit.direction for exit in ways(world)) or 'none'}",
    ]
    return "\n".join(lines)


async def _lines(*, interactive: bool) -> AsyncIterator[str | bytes]:
    """Yield what is typed or piped; bytes where a line isn't UTF-8."""
    if interactive:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory

        prompt: PromptSession[str] = PromptSession(history=InMemoryHistory())
        while True:
            try:
                yield await prompt.prompt_async("> ")
            except (EOFError, KeyboardInterrupt):
                return
    while line := await anyio.to_thread.run_sync(sys.stdin.buffer.readline, abandon_on_cancel=True):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            yield line
