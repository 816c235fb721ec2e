"""Safety: the vocabulary in which text is checked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

import anyio
import anyio.to_thread
import msgspec

from tta_http import Route
from tta_kernel import (
    ConfigError,
    ConfigPath,
    Context,
    Event,
    Figure,
    Health,
    Hooks,
    Plugin,
    PositiveDuration,
    Problem,
    Size,
    hookimpl,
)
from tta_program import Subcommands

from . import hookspecs
from .help import HELP, SHIPPED, Help, read_help, stamps
from .hookspecs import check_text, turn_checked
from .memory import MemoryReviews
from .merging import each, judge, known_kinds, merge
from .model import (
    CATEGORIES,
    KINDS,
    STATE,
    TOLD,
    About,
    Action,
    Channel,
    CheckedTurn,
    CheckFailed,
    Finding,
    Level,
    Polarity,
    Status,
    Subject,
    Temporality,
    Verdict,
    category,
)
from .reviews import REVIEWS, Review, Reviews, ReviewsError, guard_reviews
from .routes import review_routes

__all__ = [
    "CATEGORIES", "HELP", "KINDS", "REVIEWS", "SHIPPED", "STATE", "TOLD", "About", "Action", "Channel",
    "CheckFailed", "CheckedTurn", "Finding", "Help", "Level", "Polarity", "Review", "Reviews", "ReviewsError",
    "SafetyMemory", "SafetyPlugin", "Status", "Subject", "Temporality", "Verdict", "category", "check_text",
    "each", "guard_reviews", "judge", "known_kinds", "merge", "turn_checked",
]  # fmt: skip


_NAMED = 3
"""How many outdated lines a health check names; the rest is a number."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``lines_max_age``: how long ago a page may have been read that says a crisis line's number.

    A year, as numbers of national lines live for many years, and a warning that is always there is read by nobody.
    ``lines_file`` has lines of your own by country, and ``texts_file`` what is said in other languages, both over what
    the package brings; ``poll``: how often, in seconds, they are looked at.
    """

    lines_max_age: PositiveDuration = 365 * 86400.0
    lines_file: ConfigPath | None = None
    texts_file: ConfigPath | None = None
    poll: PositiveDuration = 5.0


class SafetyPlugin(Plugin[Config]):
    """Brings the hook ``check_text``, and shows what was kept from players; it checks nothing itself."""

    after = (REVIEWS,)
    provides = (HELP,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._ctx: Context | None = None
        self._reviews_by = ""
        """The plugin that is to provide the reviews."""
        self._help = Help()
        self._trouble = ""
        """Why files that were changed are not in force; empty where all are."""

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._ctx = ctx
        seen = stamps(self._files(self.config))
        self._help.become(await anyio.to_thread.run_sync(self._read, self.config))
        ctx.start_soon(self._watch, ctx, seen)
        ctx.provide(HELP, self._help)
        yield

    async def prepare(self, config: Config) -> Callable[[], None]:
        found = await anyio.to_thread.run_sync(self._read, config)

        def commit() -> None:
            self.config = config
            self._help.become(found)
            self._trouble = ""

        return commit

    def _files(self, config: Config) -> Sequence[Path | None]:
        return config.lines_file, config.texts_file

    def _read(self, config: Config) -> Help:
        return read_help(*self._files(config), today=self.today())

    async def _watch(self, ctx: Context, seen: Sequence[object]) -> None:
        """Put files in force that have changed; what is wrong in them changes nothing, and is told."""
        tried = seen
        while True:
            await anyio.sleep(self.config.poll)
            now = stamps(self._files(self.config))
            # Twice the same: whoever writes one has most likely come to the end.
            if now == seen and now != tried:
                tried = now
                try:
                    self._help.become(await anyio.to_thread.run_sync(self._read, self.config))
                    self._trouble = ""
                    ctx.log.info("other lines and texts are in force")
                except ConfigError as exc:
                    self._trouble = str(exc)
                    ctx.log.error("lines and texts of before stay in force: %s", exc)  # noqa: TRY400 - it says it all
            seen = now

    def _reviews(self) -> Reviews | None:
        """Look for the reviews, each time: where their plugin isn't required, it may come later, or go."""
        return self._ctx.find(REVIEWS) if self._ctx else None

    @hookimpl
    def check(self, hooks: Hooks) -> Sequence[Problem]:
        self._reviews_by = hooks.providers.get(REVIEWS, "")
        try:
            found = self._read(self.config)
        except ConfigError as exc:
            return exc.problems
        if not found.texts.understood:
            return ()
        what = f"texts in {', '.join(found.texts.understood)} are judged by your own rules alone, and count as checked"
        return (Problem("plugins.safety.config.texts_file", what, "see that there are such rules", note=True),)

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return review_routes(self._reviews)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (CheckFailed,)

    def today(self) -> date:
        """Return the day by which what was read is old, or isn't; in UTC, where a day more or less doesn't matter."""
        return datetime.now(UTC).date()

    @hookimpl
    async def health(self) -> Health:
        if self._reviews_by and self._reviews() is None:
            what = f"texts kept from players are lost: plugin {self._reviews_by!r}, which keeps them, doesn't run"
            return Health("degraded", what)
        if self._trouble:
            return Health("degraded", f"lines and texts of before are in force: {self._trouble}"[:500])
        old = self._help.lines.outdated(self.today(), self.config.lines_max_age)
        if not old:
            return Health("ok")
        more = f" and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
        named = ", ".join(old[:_NAMED])
        return Health("degraded", f"crisis lines to be verified again: {named}{more} (docs/crisis.md says how)")


class MemoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many texts that were kept from players wait for a human, of how many bytes in all, and for how long."""

    most: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 1000
    size: Annotated[Size, msgspec.Meta(ge=1, le=2**40)] = 16 * 2**20
    keep: PositiveDuration = 7 * 86400.0


class SafetyMemory(Plugin[MemoryConfig]):
    """Keeps what was kept from players in the memory of this process; it ends with it."""

    provides = (REVIEWS,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        config = self.config
        self._reviews = MemoryReviews(time.time, most=config.most, size=config.size, keep=config.keep)
        ctx.provide(REVIEWS, self._reviews)
        yield

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self._reviews.forget(user)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (Figure("safety.reviews", "texts kept from players that wait for a human"),)

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        return {"safety.reviews": len(self._reviews)}
