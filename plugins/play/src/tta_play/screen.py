"""How a session looks: wrapped, styled and in tables on a terminal; plain lines in a pipe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO, cast

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tta_orchestration import OrchestrationResponse
from tta_program import as_json, prose
from tta_world import World, carried, here, people, visible, ways

from .output import Output
from .writing import Writing

MEASURE = 84
"""How many columns a line of the story has at most; longer ones are tiring to read."""
_BLANK = "\r\x1b[2K"
"""Takes away what stands in a terminal's line."""
Rows = Sequence[tuple[str, ...]]


class Screen:
    """Prints to a terminal or to a pipe; which of the two is settled once, by where the output goes.

    Nothing waits until it is written, but for `drain`.
    """

    def __init__(self, file: TextIO) -> None:
        self._output = Output(file)
        self.terminal = self._output.isatty()
        self._console = Console(
            file=cast("TextIO", self._output), soft_wrap=not self.terminal, highlight=False, markup=False,
            force_terminal=self.terminal, no_color=None if self.terminal else True,
        )  # fmt: skip
        self._writing: Writing | None = None
        self._passing = False
        """Whether a line stands there that goes as soon as something else is written."""
        self._lock = threading.RLock()
        self.drain = self._output.drain

    def story(self, text: str, *, whole: bool = False) -> None:
        """Tell a turn in a pipe: in one line, unless the ``whole`` of it is asked for."""
        text = prose(text)
        self._console.print(Text(text if whole else " ".join(text.split())))

    @contextmanager
    def writing(self) -> Iterator[Callable[[str], None]]:
        """Tell a turn on a terminal as it comes, piece by piece."""
        writing = self._writing = Writing(self._console, MEASURE)

        def add(piece: str) -> None:
            with self._lock:
                self._clear()
                writing.add(prose(piece))

        try:
            yield add
            with self._lock:
                self._clear()
                writing.end()
        finally:
            with self._lock:
                self._clear()
            self._writing = None

    def remark(self, text: str) -> None:
        """Show lines of the log, from whichever thread, between two sentences and never within one."""
        with self._lock:
            self._clear()
            if self._writing is not None:
                text = self._writing.interrupted() + text
            self._output.remark(text)

    def progress(self, text: str) -> None:
        """Show how far a turn is, on a terminal, for as long as nothing of it was told."""
        if not self.terminal or self._console.is_dumb_terminal:
            return
        with self._lock:
            if self._writing is None or self._writing.begun:
                return
            line = Text(prose(text), style="dim")
            line.truncate(max(1, self._console.width - 1), overflow="ellipsis")
            self._output.remark(_BLANK)
            self._console.print(line, end="")
            self._passing = True

    def json(self, value: object) -> None:
        """Print JSON on one line."""
        self._output.write(as_json(value, indent=0) + "\n")

    def note(self, text: str) -> None:
        """Say something about the game rather than of the story."""
        self._print(Text(prose(text), style="dim" if self.terminal else ""))

    def trace(self, response: OrchestrationResponse) -> None:
        """Show each step, its agent and its time in milliseconds, and who checked which text."""
        total = response.performance["total"] * 1000
        title = f"turn {response.turn} of {response.session}: {response.outcome}, {total:.1f} ms"
        # Ways that the turn didn't take, and workflows that only hold other steps, say nothing of who acted.
        acted = [step for step in response.steps if step.agent and step.status != "skipped"]
        steps = [
            (step.id.rpartition("/")[2], step.agent, f"{step.seconds * 1000:.1f} ms", step.result) for step in acted
        ]
        checks = [_checked(response, channel) for channel in ("player", "story")]
        if not self.terminal:
            lines = [f"  {id:10} {agent:22} {time:>11}  {status}" for id, agent, time, status in steps]
            lines += [f"  {channel}'s text: {what}" for channel, what in checks]
            self.note("\n".join(["", title, *lines, *(f"  {what}: {why}" for what, why in _failed(response))]))
            return
        table = self._table(title, ("step", "agent", "time", "status"), right="time")
        for step in steps:
            table.add_row(*map(prose, step))
        table.add_section()
        for channel, what in checks:
            table.add_row(f"{channel}'s text", "", "", prose(what))
        for what, why in _failed(response):
            table.add_row(what, "", "", prose(why))
        self._console.print(table)

    def world(self, stored: object) -> None:
        """Show where the player is and what is there."""
        if stored is None:
            self.note("(the story has not begun yet)")
            return
        rows = described(msgspec.convert(stored, World))
        if not self.terminal:
            self.note("\n".join(f"{name}: {value}" for name, value in rows))
            return
        table = self._table("", ("", ""))
        table.show_header = False
        for row in rows:
            table.add_row(*map(prose, row))
        self._console.print(table)

    def _clear(self) -> None:
        if self._passing:
            self._output.write(_BLANK)
            self._passing = False

    def _table(self, title: str, columns: Sequence[str], right: str = "") -> Table:
        table = Table(title=prose(title) or None, title_justify="left", title_style="dim", header_style="dim", box=None)
        for column in columns:
            table.add_column(column, justify="right" if column and column == right else "left", overflow="fold")
        return table

    def _print(self, what: Text) -> None:
        if self.terminal:
            self._console.print(what, width=min(self._console.width, MEASURE))
        else:
            self._console.print(what)


def described(world: World) -> list[tuple[str, str]]:
    """Say where the player is and what is there, in names and values."""
    held = carried(world)
    around = [thing.name for thing in visible(world) if thing not in held]
    return [
        ("You are at", here(world).name),
        ("The weather", world.weather),
        ("Who is here", ", ".join(person.name for person in people(world)) or "nobody"),
        ("What is here", ", ".join(around) or "nothing much"),
        ("You carry", ", ".join(thing.name for thing in held) or "nothing"),
        ("Ways", ", ".join(exit.direction for exit in ways(world)) or "none"),
    ]


def _failed(response: OrchestrationResponse) -> list[tuple[str, str]]:
    failure = response.failure
    return [
        *([("failed", f"{failure.part}: {failure.code}")] if failure else []),
        *([] if response.kept else [("not kept", "for the session, this turn hasn't happened")]),
    ]


def _checked(response: OrchestrationResponse, channel: str) -> tuple[str, str]:
    verdict = response.verdicts.get(channel)
    what = "not reached" if verdict is None else verdict.level or verdict.status
    by = f" by {', '.join(verdict.by)}" if verdict and verdict.by else ""
    return channel, what + by
