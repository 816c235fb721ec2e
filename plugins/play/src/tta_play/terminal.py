"""A session at the terminal, or line by line from a pipe."""

from __future__ import annotations

import argparse
import errno
import logging
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import anyio
import msgspec
from anyio.abc import TaskGroup

from tta_kernel import Kernel
from tta_orchestration import NOT_YOURS, ORCHESTRATION, InputError, Narrate, OrchestrationResponse, Progressed
from tta_orchestration.progress import STAGES
from tta_program import OutputLost, diverted
from tta_sessions import SESSIONS

from .lines import Unreadable, lines
from .screen import Screen

if TYPE_CHECKING:
    from prompt_toolkit import Application  # It is slow to import, and of use at a terminal alone.

OPENING = """A story, told as you go. Write what you would like to do, in your own words;
:help says more, :quit leaves."""
HELP = """Write what you would like to do, in your own words: look around, go to the harbour,
take the lantern, talk to the keeper, or how you feel.
  :trace   who did what in the last turn, and who checked it
  :world   where you are, and what you know of the place
  :help    this
  :quit    leave (or end of input)"""
UNFINISHED = "your last turn was broken off; this is how it went"
WORLD_TIMEOUT = 10.0
"""How long, in seconds, looking up the world may take."""
_LONG = frozenset({
    "world", "world_version", "history", "summary", "profile", "memory", "metadata", "last_agent", "safety", "flags",
})  # fmt: skip
"""What a line of JSON leaves out of the session, unless all of it is asked for."""
_END = (signal.SIGTERM, signal.SIGHUP)
log = logging.getLogger("tta.play")


async def run(kernel: Kernel, options: argparse.Namespace) -> int:
    """Play until the input ends, or a signal ends it.

    The exit code is 0, or 1 if the one turn asked for could not be played, or 128 and the signal's number.
    """
    code = 0
    with anyio.open_signal_receiver(*_END) as signals:
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                nonlocal code
                async for number in signals:
                    # The kernel stops in order: what others asked of our agents is ended, or given back.
                    code = 128 + number
                    tasks.cancel_scope.cancel()

            tasks.start_soon(leave)
            try:
                code = await _play(kernel, options, tasks)
            except OSError as exc:
                if exc.errno != errno.EIO:
                    raise
                # The terminal has gone, and its signal comes before or after this.
                code = 128 + signal.SIGHUP
            tasks.cancel_scope.cancel()
    return code


async def _play(kernel: Kernel, options: argparse.Namespace, tasks: TaskGroup) -> int:
    if sys.stdin.isatty() and not options.json:
        # The library that reads what is typed prints there, too.
        return await _converse(_Game(kernel, options, sys.stdout), options, tasks)
    # A line answers a line: what an agent prints meanwhile must not come between them.
    with diverted() as diversion:
        return await _converse(_Game(kernel, options, diversion.output), options, tasks)


async def _converse(game: _Game, options: argparse.Namespace, tasks: TaskGroup) -> int:
    tasks.start_soon(game.show_progress)
    with game.log_between_lines():
        if options.session:
            await game.resume()
        if options.text:
            played = await game.turn(" ".join(options.text))
            await game.drain()
            return 0 if played else 1
        await _converse_by_lines(game, interactive=sys.stdin.isatty() and not options.json)
    return 0


async def _converse_by_lines(game: _Game, *, interactive: bool) -> None:
    if interactive:
        game.open()
    await game.drain()
    async for line in _entered(game, interactive=interactive):
        if isinstance(line, Unreadable):
            game.refuse(line.why)
        elif line.strip() in (":quit", ":q", ":exit"):
            return
        elif line.strip().startswith(":"):
            await game.command(line.strip())
        elif not line.strip() and sys.stdin.isatty():
            continue
        else:
            await game.turn(line)
        await game.drain()


class _Game:
    """One session of one player: says what came of each line, in words or in JSON."""

    def __init__(self, kernel: Kernel, options: argparse.Namespace, file: TextIO) -> None:
        self._kernel, self._options = kernel, options
        self._session = options.session or f"play-{uuid.uuid4().hex[:12]}"
        self._user: str = options.user
        self._seed: int | None = options.seed
        self._narrate = Narrate(options.format, options.most)
        self._last: OrchestrationResponse | None = None
        self._screen = Screen(file)
        self.drain = self._screen.drain
        self.prompt: Application[str] | None = None

    @contextmanager
    def log_between_lines(self) -> Iterator[None]:
        """Show the log, where it goes to the same terminal, between lines of the story, and above the prompt."""
        moved = []
        if self._screen.terminal and sys.stderr.isatty():
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
                    handler.setStream(_Log(self._remark))
                    moved.append(handler)
        try:
            yield
        finally:
            for handler in moved:
                handler.setStream(sys.stderr)

    def _remark(self, text: str) -> None:
        prompt = self.prompt
        if prompt is None or not prompt.is_running or prompt.loop is None:
            self._screen.remark(text)
            return
        from prompt_toolkit.application import run_in_terminal

        # Whoever logs may be another thread; what is being typed is drawn anew below.
        prompt.loop.call_soon_threadsafe(run_in_terminal, partial(self._screen.remark, text))

    def open(self) -> None:
        self._screen.note(OPENING)

    async def turn(self, text: str) -> bool:
        """Play a turn, and say whether it could be played."""
        streams = self._screen.terminal and not self._options.json
        try:
            response = await (self._streamed(text) if streams else self._whole(text))
        except InputError as exc:
            self.refuse(str(exc))
            return False
        self._last = response
        if self._options.trace and not self._options.json:
            self._screen.trace(response)
        return True

    async def resume(self) -> None:
        """Finish what was admitted before, and show it: the process that was at it may have been killed."""
        try:
            response = await self._kernel.get(ORCHESTRATION).resume(self._session, self._user)
        except InputError:
            return  # The first turn says what is wrong with the name.
        if response is None:
            return
        self._last = response
        if self._options.json:
            self._screen.json(response if self._options.world else _short(response))
            return
        self._screen.note(f"({UNFINISHED})")
        self._notice(response)
        self._screen.story(response.text, whole=self._screen.terminal)

    async def _streamed(self, text: str) -> OrchestrationResponse:
        """Write each sentence on the terminal as soon as it is released; notices of the turn come after it."""
        orchestration = self._kernel.get(ORCHESTRATION)
        with self._screen.writing() as write:
            async with orchestration.stream_user_input(
                text, self._session, user=self._user, seed=self._seed, narrate=self._narrate
            ) as stream:
                async for piece in stream:
                    write(piece)
                    await self.drain()
                response = stream.response
        self._notice(response)
        return response

    async def show_progress(self) -> None:
        """Show, for ever, how far a turn is that takes a while."""
        with self._kernel.events.subscribe(Progressed) as events:
            async for event in events:
                if event.session != self._session or event.percent == STAGES["over"]:
                    continue
                try:
                    self._screen.progress(f"({event.stage}, {event.percent} %)")
                except OutputLost:
                    return  # The story, which is what people read, says so.

    async def _whole(self, text: str) -> OrchestrationResponse:
        """Print a turn at once: from a pipe, one line of input has one line of answer."""
        orchestration = self._kernel.get(ORCHESTRATION)
        response = await orchestration.process_user_input(
            text, self._session, user=self._user, seed=self._seed, narrate=self._narrate
        )
        if self._options.json:
            self._screen.json(response if self._options.world else _short(response))
        else:
            self._notice(response)
            self._screen.story(response.text, whole=self._options.trace)
        return response

    def _notice(self, response: OrchestrationResponse) -> None:
        for notice in response.notices:
            self._screen.note(f"({notice})")

    def refuse(self, why: str) -> None:
        if self._options.json:
            self._screen.json({"error": why})
        else:
            self._screen.note(f"({why})")

    async def command(self, name: str) -> None:
        if name == ":trace":
            self._trace()
        elif name == ":world":
            await self._world()
        elif name == ":help":
            if self._options.json:
                self._screen.json({"help": HELP})
            else:
                self._screen.note(HELP)
        else:
            self.refuse(f"there is no {name}; there are :trace, :world, :help and :quit")

    def _trace(self) -> None:
        if self._options.json:
            self._screen.json({"trace": self._last and _without_text(self._last)})
        elif self._last is None:
            self._screen.note("(nothing has been played yet)")
        else:
            self._screen.trace(self._last)

    async def _world(self) -> None:
        try:
            with anyio.fail_after(WORLD_TIMEOUT):
                session = await self._kernel.get(SESSIONS).get(self._session)
            if session and session.user != self._user:
                self.refuse(NOT_YOURS)
                return
            world = session.context.get("world") if session else None
            if self._options.json:
                self._screen.json({"world": world})
            else:
                self._screen.world(world)
        except Exception as exc:  # noqa: BLE001 - a stranger's store; the next turn says more to an operator
            log.warning("the world can't be shown: the sessions' store raised %s", type(exc).__name__)
            self.refuse("where you are can't be looked up just now; try again in a while")


class _Log:
    """A stream for the log."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def write(self, text: str) -> None:
        try:
            self._write(text)
        except OutputLost:
            return  # The story, which is what people read, says so.

    def flush(self) -> None:
        """Do nothing: each line is written at once."""


def _short(response: OrchestrationResponse) -> OrchestrationResponse:
    """Leave out what makes a line of JSON long."""
    context = {key: value for key, value in response.updated_context.items() if key not in _LONG}
    return msgspec.structs.replace(response, updated_context=context)


def _without_text(response: OrchestrationResponse) -> dict[str, Any]:
    """Return how a turn came about: all of it but what was said, and what the session holds."""
    names = ("session", "turn", "outcome", "kept", "failure", "workflow", "steps", "performance", "verdicts")
    return {name: getattr(response, name) for name in names}


async def _entered(game: _Game, *, interactive: bool) -> AsyncIterator[str | Unreadable]:
    """Yield what is typed or piped."""
    if not interactive:
        async for line in lines(sys.stdin.fileno()):
            yield line
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import InMemoryHistory

    prompt: PromptSession[str] = PromptSession(history=InMemoryHistory())
    game.prompt = prompt.app
    while True:
        try:
            yield await prompt.prompt_async("> ")
        except (EOFError, KeyboardInterrupt):
            return
