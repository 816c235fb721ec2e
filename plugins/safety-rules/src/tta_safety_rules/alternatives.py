"""What is said in place of a text that may not stand: kind, short, and never a machine's own words in a crisis."""

from __future__ import annotations

from tta_safety import KINDS, Level
from tta_safety.support import help_lines

_STEADY = "Let's stay with what is here: your breath, the ground beneath you, one small next step."
_TEXTS = {
    "crisis": "What you said matters more than the story. You don't have to carry it alone; I'm here to support you.",
    "method": "I won't describe that. If it is about you, please say so, and let's find somebody to be with you now.",
    "ethics": "That is for someone who knows you: a licensed healthcare professional. I'm a story, and not qualified.",
    "false_claim": "I'm a program that tells a story, no person, and I have called nobody. Real people can help you.",
    "abandonment": "I'm still here, and what you told me counts.",
    "delusion": "That sounds frightening. I can't say that it is so, but I can stay, and so can people whom you trust.",
    "boundary": "I'd rather keep to the story, and to what does you good in it.",
    "child_safety": "The story won't go there.",
    "sexual": "The story won't go there.",
    "hate": "The story has room for everybody, so it goes another way.",
    "toxicity": "The story takes a kinder turn here.",
}
_WARNING = "I want to respond responsibly, so the story goes gently here. " + _STEADY


def alternative_for(name: str, level: Level, *, severity: int = 0, locale: str = "", country: str = "") -> str:
    """Return what may be told instead; ``name`` is a category, the name of a template, or the text itself."""
    if " " in name.strip():
        return name
    if level == "warning" and name not in _TEXTS and name not in KINDS:
        return _WARNING
    category = "method" if name == "dosage" else name
    text = _TEXTS.get(category, _TEXTS["crisis"] if category in KINDS else _STEADY)
    if category in KINDS or category in ("method", "abandonment", "false_claim", "delusion"):
        kind = category if category in KINDS else ""
        text += " " + help_lines(locale=locale, country=country, kind=kind)
    return text
