"""A session at the terminal, or line by line from a pipe."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import AsyncIterator

import anyio
import anyio.to_thread
import msgspec

from tta_kernel import Kernel
from tta_orchestration import ORCHESTRATION, InputError, OrchestrationResponse
from tta_sessions import SESSIONS, SessionConflict

from .screen import Screen

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
        self._screen = Screen(sys.stdout)

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
            self._screen.note(f"({notice})")
        # From a pipe, one line of input has one line of answer.
        self._screen.story(response.text, whole=self._trace)
        if self._trace:
            self._screen.trace(response)
        return True

    def refuse(self, why: str) -> None:
        if self._json:
            print(msgspec.json.encode({"error": why}).decode(), flush=True)
        else:
            self._screen.note(f"({why})")

    async def command(self, name: str) -> None:
        if name == ":trace":
            if self._last is None:
                self._screen.note("(nothing has been played yet)")
            else:
                self._screen.trace(self._last)
        elif name == ":world":
            session = await self._kernel.get(SESSIONS).get(self._session)
            self._screen.world(session.context.get("world") if session else None)
        elif name == ":help":
            self._screen.note(HELP)
        else:
            self.refuse(f"there is no {name}; there are :trace, :world, :help and :quit")


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
