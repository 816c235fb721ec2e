"""What is said to a person in distress while their story pauses: a conversation that never ends by itself."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from .model import Verdict

_LINES = (
    "If you are in danger right now, please reach out to your local emergency number, to a crisis line "
    "(in the US and Canada call or text 988), or to someone you trust."
)
_HEARD = "Thank you for telling me. I take what you said seriously, and I'm staying here with you."
_ON = "I'm still here. Say what you need to say; when you want to go on with the story, just say: continue."
_CHECK_IN = (
    "Before the story goes on: some of what you wrote could be about you, and not about the story. "
    "If it is, you can tell me so, at any time. " + _LINES
)
_CONTINUE = frozenset({"continue", "go on", "continue the story", "go on with the story", "back to the story"})


class Support(msgspec.Struct, frozen=True):
    """Where a conversation stands: what it is about, the turn in which it began, and what was asked already."""

    kinds: tuple[str, ...]
    severity: int = 0
    since: int = 0
    replies: int = 0
    asked: tuple[str, ...] = ()


class Reply(NamedTuple):
    """What is said, and where the conversation stands then; None where the story goes on instead, unsaid."""

    text: str
    support: Support | None


def converse(
    text: str, verdict: Verdict, support: Support | None, *, locale: str = "", country: str = "", turn: int = 0
) -> Reply:
    """Answer what a person wrote in a crisis, or while their story pauses because of one.

    ``support`` is where the conversation stood; None in the turn in which it begins. The story goes on where the person
    asks for it, and says nothing of a crisis in the same breath.
    """
    severity = max((found.severity for found in verdict.findings), default=0)
    if support is None:
        begun = Support(verdict.kinds, severity, turn, 1)
        return Reply(f"{_HEARD} {_LINES}", begun)
    if not verdict.objects and text.strip(" .!").lower() in _CONTINUE:
        return Reply("", None)
    kinds = tuple(dict.fromkeys((*support.kinds, *verdict.kinds)))
    goes_on = msgspec.structs.replace(
        support, kinds=kinds, severity=max(severity, support.severity), replies=support.replies + 1
    )
    return Reply(f"{_HEARD} {_LINES}" if verdict.kinds else _ON, goes_on)


def check_in(verdict: Verdict, *, locale: str = "", country: str = "") -> str:
    """Return the gentle question that goes before a story where a crisis may be there, and nobody knows."""
    return _CHECK_IN


def help_lines(*, locale: str = "", country: str = "", kind: str = "") -> str:
    """Return whom to call, in a sentence or two."""
    return _LINES
