"""The words for when there is no story to tell: written by people, kind, and always safe to show."""

from __future__ import annotations

from tta_safety import SHIPPED, Help

REPLACED = (
    "The story goes quiet here for a moment, on purpose. You are safe where you are, and I'm here to support you. "
    "Take a breath, if you like; when you are ready, say what you would like to do next."
)
FAILED = "The story lost its thread for a moment. Nothing you did is lost; try that again, or something else."
SIMPLER = "a voice of the story is away just now, so this was told more simply than usual"

HEARD = "I'm here, and I've heard you. Give me a moment to find the right words."
PATIENCE = "The story takes a slow breath before it goes on. It hasn't forgotten you."

_HEAVY = "If anything feels too heavy, please reach out to someone you trust. {lines} I'm here to support you."
"""``{lines}`` is for `said`."""
RESTING = (
    "Let us pause here for a moment. A voice that this story needs is resting, and that is nothing you did. "
    "What you said just now hasn't happened yet, so try it again in a minute or two. " + _HEAVY
)
CROWDED = (
    "Let us pause here for a moment. Very much is going on at once just now, and that is nothing you did. "
    "What you said hasn't happened yet, so take a breath, if you like, and say it again in a moment. " + _HEAVY
)
AWAY = (
    "Let us pause here for a moment. I can't open the book of your story just now, and that is nothing you did. "
    "What was written in it stays; what you said just now hasn't happened yet, so try it again in a while. " + _HEAVY
)
FULL = (
    "Let us pause here for a moment. The book of your story is full: what you said just now found no place in it, "
    "and so it hasn't happened. What was written before stays, and you can begin another story whenever you like. "
) + _HEAVY
NO_ROOM = (
    "Let us pause here for a moment. There is no room for another story just now, and that is nothing you did. "
    "A story that has begun goes on: play one of yours, or try this again later. "
) + _HEAVY
ELSEWHERE = (
    "Let us pause here for a moment. Your story is being played in another place at the same time, and what was "
    "said there was written down first. What you said just now hasn't happened yet; look around, and try it again. "
) + _HEAVY
UNKEPT = (
    "I must stop here: I couldn't write down what I have just told you, and that is nothing you did. "
    "The story goes on from before it; say what you would like to do when you are ready. " + _HEAVY
)
ANEW = "what was written of your story before can't be found or read any more, so it begins anew; you did nothing wrong"
TAKEN = (
    "I must stop here: another place goes on with telling you this, as it took me too long. "
    "Nothing you did is lost; look around in a moment, and the story will be there."
)
GONE = (
    "I must stop here: what you said is no longer in the book of your story, as it is after somebody asked for "
    "everything of theirs to be erased. If that wasn't you, say what you would like to do, and the story goes on."
)
LOST = "your last words were lost before they could be answered, and that is nothing you did: please say them again"
AFTER_ALL = "what you did before the pause was written down after all, and the story goes on from there."
NOTHING = "there is nothing to read; write what you would like to do, such as: look around"
NO_NAME = "that name can't be stored: choose a session name, and a name of yours, in UTF-8"
NO_SEED = "that seed is too large: choose a whole number of at most 64 bits"
NO_FORMAT = "a turn is told as plain text or as Markdown, and ends after 40 characters or more"
NOT_YOURS = (
    "this story belongs to somebody else, or to another name of yours: choose another session name, "
    "or play as the person who began it"
)


def said(text: str, help: Help = SHIPPED, *, locale: str = "", country: str = "") -> str:
    """Return one of these texts as it is told: with the lines to call where the person is, if it names some."""
    return text.replace("{lines}", help.lines.help_lines(locale=locale, country=country))
