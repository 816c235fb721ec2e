"""Feelings, met with warmth: named back, given company, and never judged or mended."""

from __future__ import annotations

from tta_world import HEAVY, Deed

from .scene import by_aspect
from .voice import Voice

_NOUNS = {"numbness": "numbness", "despair": "despair", "grief": "grief", "love": "love", "joy": "gladness",
          "overwhelm": "too much of everything", "calm": "quiet", "fear": "fear",
          "anger": "anger"}  # fmt: skip


def feel(voice: Voice, deed: Deed) -> list[str]:
    """Tell how a feeling is met."""
    names = deed.feelings or ("confusion",)
    main = names[0]
    rule = voice.first_rule((f"feel.{main}", "feel.confusion"))
    said: list[str] = []
    present = [name for name in names if not name.startswith("-")]
    if main.startswith("-"):
        said += voice.say_anew("feel.gone")
    elif len(present) > 1 and main != "despair":
        one, other = (_NOUNS.get(name, name) for name in present[:2])
        said += voice.say_anew("feel.mixed", rule, "feel.again", slots={"one": one, "other": other})
    elif deed.again:
        said += voice.say_anew("feel.again", rule)
    else:
        said += voice.say_anew(rule, "feel.again")
    if _lighter(voice, main):
        said += voice.say_anew("feel.lighter")
    said += _comfort(voice, deed)
    for detail in by_aspect(deed, "drift"):
        said += voice.say_detail_anew(detail)
    if main in HEAVY and voice.roll("stay", 5) < (4 if main == "despair" else 2):
        said += voice.say_anew("stay")
    return said or voice.say_anew("stay", "quiet") or voice.say("quiet")


def _comfort(voice: Voice, deed: Deed) -> list[str]:
    """Say how somebody or the place answers; who has said all of their own lines keeps company."""
    said: list[str] = []
    for detail in by_aspect(deed, "comfort"):
        own = voice.say_detail_anew(detail)
        if not own and deed.person and voice.has_rule(rule := f"company.{detail.key}"):
            own = voice.say_anew(rule, slots={"person": deed.person})
        said += own
    return said


def _lighter(voice: Voice, main: str) -> bool:
    """Tell whether something weighed more a little while ago."""
    earlier = voice.world.player.feelings[:-1]
    heavy = any(name in HEAVY for name in earlier[-3:])
    return heavy and main not in HEAVY and not main.startswith("-") and voice.roll("light", 3) < 2


def cry(voice: Voice, deed: Deed) -> list[str]:
    """Tell of tears."""
    return voice.say_anew("cry.done", "feel.again", "quiet") + _comfort(voice, deed)
