"""Sessions: what a story remembers between turns, by version."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, Any, ClassVar

import msgspec

from tta_http import Route
from tta_kernel import Context, Event, Figure, NoConfig, Plugin, PositiveDuration, Size, hookimpl
from tta_program import Subcommands

from . import hookspecs, queue
from .conversation import SUMMARISER, Page, Summariser, Summary, ToSummarise, summary_of
from .flags import AgeBand, Consent, Flags, flags_of
from .memory import MemorySessions
from .model import (
    FIGURES,
    SESSIONS,
    Admission,
    Held,
    Listed,
    Session,
    SessionBusy,
    SessionCommitted,
    SessionConflict,
    SessionCorrupt,
    SessionFenced,
    Sessions,
    SessionsError,
    SessionsFull,
    SessionTooLarge,
    is_text,
    pack,
)
from .profile import Pace, Profile, Tone, profile_of
from .queue import QUEUE, check_admission
from .routes import session_routes

__all__ = [
    "FIGURES", "QUEUE", "SESSIONS", "SUMMARISER", "Admission", "AgeBand", "Consent", "Flags", "Held", "Listed", "Pace",
    "Page", "Profile", "Session", "SessionBusy", "SessionCommitted", "SessionConflict", "SessionCorrupt",
    "SessionFenced", "SessionTooLarge", "Sessions", "SessionsError", "SessionsFull", "SessionsMemory", "SessionsPlugin",
    "Summariser", "Summary", "ToSummarise", "Tone", "check_admission", "flags_of", "is_text", "pack", "profile_of",
    "queue", "summary_of",
]  # fmt: skip


class SessionsPlugin(Plugin[NoConfig]):
    """The vocabulary of sessions, the hook ``forget`` and its command, and a session's sizes over HTTP."""

    after = (SESSIONS,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._ctx = ctx
        yield

    @hookimpl(optionalhook=True)
    def routes(self) -> Sequence[Route]:
        return session_routes(lambda: self._ctx.find(SESSIONS))

    @hookimpl
    def event_types(self) -> Sequence[type[Event]]:
        return (SessionCommitted,)

    @hookimpl(optionalhook=True)
    def register_commands(self, subcommands: Subcommands) -> None:
        from . import commands  # Only a command needs them.

        commands.add(subcommands)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long, in seconds, a session lives after its last turn, how many there may be, of whom, and how large.

    ``admission_ttl``: how long, in seconds, the text of a turn that wasn't answered is kept.
    """

    ttl: PositiveDuration = 30 * 86400.0
    admission_ttl: PositiveDuration = 3600.0
    limit: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 10_000
    per_user: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 1000
    max_size: Annotated[Size, msgspec.Meta(ge=1, le=256_000_000)] = 1_000_000


class SessionsMemory(Plugin[Config]):
    """Sessions of a deployment with one process; they end with it."""

    provides = (SESSIONS,)
    fallback = True

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._sessions = MemorySessions(
            time.time, ttl=self.config.ttl, limit=self.config.limit, max_size=self.config.max_size,
            admission_ttl=self.config.admission_ttl, per_user=self.config.per_user,
        )  # fmt: skip
        ctx.provide(SESSIONS, self._sessions)
        yield

    @hookimpl
    async def forget(self, user: str) -> int:
        return await self._sessions.forget(user)

    @hookimpl
    def figures(self) -> Sequence[Figure]:
        return (*FIGURES, Figure("sessions.kept", "sessions in memory, also ended ones that nobody has asked for"))

    @hookimpl
    async def snapshot(self) -> Mapping[str, Any]:
        sessions = self._sessions
        return {
            "sessions.commits": sessions.commits,
            "sessions.conflicts": sessions.conflicts,
            "sessions.kept": len(sessions),
        }
