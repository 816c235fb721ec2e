"""The words for when there is no story to tell: written by people, kind, and always safe to show."""

from __future__ import annotations

SUPPORTIVE = (
    "Let us set the story down for a moment. What you wrote sounds heavy, and it matters. "
    "You don't have to carry it alone: someone you trust, or a crisis line, can be there with you right now. "
    "In the US and Canada you can call or text 988 at any hour; elsewhere your local emergency number "
    "or findahelpline.com will know whom to call. "
    "I'm here to support you, and the story will wait for as long as you like."
)
REPLACED = (
    "The story goes quiet here for a moment, on purpose. You are safe where you are, and I'm here to support you. "
    "Take a breath, if you like; when you are ready, say what you would like to do next."
)
FALLBACK = (
    "Let us pause here for a moment. I can't be sure of finding the right words just now, "
    "and you deserve the right ones. If anything feels too heavy, please reach out to someone you trust, "
    "or to your local emergency number or a crisis line (in the US and Canada call or text 988). "
    "Nothing you did is lost, and I'm here to support you."
)
FAILED = "The story lost its thread for a moment. Nothing you did is lost; try that again, or something else."
