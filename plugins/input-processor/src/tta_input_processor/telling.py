"""What people tell of themselves and of others, which asks for nothing to be done."""

from __future__ import annotations

from .clauses import Clause
from .tables import phrases
from .words import LIFE, SAYINGS

FIRST = frozenset({"i", "me", "my", "we", "our", "myself", "mine", "us"})
_REMARKS = phrases(
    "it is, this is, that is, it was, that was, that felt, it feels, this feels, it looks, it smells, it sounds"
)
_OTHERS = (("he",), ("she",), ("they",), ("nobody",), ("everyone",), ("everybody",), ("people",))


def is_about_life(clause: Clause) -> bool:
    """Tell whether somebody speaks of the life that goes on outside of the story."""
    words = clause.words
    if not FIRST & set(words):
        return False
    habit = words[:2] in (("i", "keep"), ("i", "kept")) and len(words) > 2 and words[2].endswith("ing")
    return habit or bool(LIFE & set(words))


def is_saying(clause: Clause) -> bool:
    """Tell whether somebody speaks of that life in a turn of phrase: `I lied to everyone`, `she gave up`."""
    words = clause.words
    if clause.question or not words or (words[0] not in FIRST and words[:1] not in _OTHERS):
        return False
    return any(words[at : at + len(said)] == said for said in SAYINGS for at in range(1, len(words) - len(said) + 1))


def is_remark(clause: Clause) -> bool:
    """Tell whether a clause is a remark: `it's warm here`, `she used to sing`."""
    if clause.question or len(clause.words) < 3:
        return False
    return clause.words[:1] in _OTHERS or any(clause.words[: len(lead)] == lead for lead in _REMARKS)
