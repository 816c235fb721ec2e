"""What agents are told of a story besides its world: its last pages, what happened before them, and its person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tta_sessions import Page, Profile, Session, Tone, profile_of, summary_of
from tta_sessions.context import LAST_AGENT, MEMORY, memory_of, remembered
from tta_workflows import Run

from .guard import Story

PAGES = 6
"""How many pages they are told."""
_SAID, _TOLD = 500, 1500
"""How many characters of each; of what was told the end, where the story goes on."""
_GAVE = frozenset({"done", "degraded"})
"""Statuses of steps that have given an output."""
_TROUBLED = frozenset({"supportive", "checked-in"})
"""Outcomes after which a story is told gently for a while."""


class Background(msgspec.Struct, frozen=True):
    """The part of a `TurnInput` that comes from what the session holds."""

    history: tuple[Page, ...] = ()
    summary: str = ""
    profile: Profile = Profile()
    tone: Tone = "warm"
    themes: tuple[str, ...] = ()
    memory: Mapping[str, Any] = {}


def background(session: Session, story: Story, *, worried: bool = False) -> Background:
    """Return it; ``worried``: what the person has just written may be about a crisis."""
    profile = profile_of(session)
    pages = story.history[-PAGES:]
    troubled = worried or any(page.outcome in _TROUBLED for page in pages[-2:])
    avoided = {theme.casefold() for theme in profile.avoid}
    return Background(
        history=tuple(Page(page.turn, page.said[:_SAID], page.told[-_TOLD:], page.outcome) for page in pages),
        summary=summary_of(session).text,
        profile=profile,
        tone="gentle" if troubled else profile.tone,
        themes=tuple(theme for theme in profile.themes if theme.casefold() not in avoided),
        memory=memory_of(session),
    )


def noted(session: Session, run: Run) -> dict[str, Any]:
    """Return what a session keeps of a run that told its story: what is to be remembered, and who told it last."""
    said = run.output.get("memory")
    teller = next((step.agent for step in reversed(run.steps) if step.agent and step.status in _GAVE), "")
    changes: dict[str, Any] = {LAST_AGENT: teller} if teller else {}
    if isinstance(said, dict) and said:
        changes[MEMORY], _ = remembered(memory_of(session), said)
    return changes
