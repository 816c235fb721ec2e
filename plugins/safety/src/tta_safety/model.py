"""What a check is told, and the verdict that it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from tta_kernel import Event

Channel = Literal["player", "story", "tool"]
"""Whose text it is: ``player`` wrote it, ``story`` is about to be told, a ``tool`` has answered with it."""
Level = Literal["safe", "warning", "blocked"]
Status = Literal["checked", "unchecked", "failed"]
Subject = Literal["self", "other", "general", "fictional", "unknown"]
"""Whom a finding is about: whoever wrote it, another person, nobody in particular, or somebody in a story."""
Polarity = Literal["affirmed", "negated", "possible"]
Temporality = Literal["present", "imminent", "recent", "past", "hypothetical"]

TOLD = 1000
"""How many characters of what was told before a check is shown at most; so a long story costs what its length says."""
STATE = 512
"""How many bytes of state a check may carry from turn to turn."""
_FINDINGS = 200
_TEXT = 4000

KINDS = (
    "suicide", "self_harm", "substance", "abuse", "violence", "psychosis", "eating_disorder", "panic", "depression",
)  # fmt: skip
"""The kinds of crisis: ``abuse`` is what others do to the person, ``violence`` what they might do to others."""
CATEGORIES = (
    *KINDS, "child_safety", "sexual", "hate", "boundary", "ethics", "method", "dosage", "abandonment", "delusion",
    "false_claim", "toxicity", "sentiment", "language", "protective",
)  # fmt: skip
"""What a finding may be of; those after the kinds are of texts, mostly generated ones, and open no intervention.

``boundary``: closeness or authority that a story must not claim; ``ethics``: medical advice, diagnosis; ``method``,
``dosage``: what would help to do harm; ``abandonment``: turning away from a person in need; ``delusion``: confirming
one; ``false_claim``: being human, a therapist, or having called somebody; ``language``: one that isn't known;
``protective``: what keeps a person, as reasons to live or a plan to stay safe; it lowers no risk, and is answered.
"""
_ALIASES = {
    "ed": "eating_disorder", "suicidal_ideation": "suicide", "suicidal": "suicide", "selfharm": "self_harm",
    "substance_abuse": "substance", "substance_overdose": "substance", "overdose": "substance",
    "domestic_violence": "abuse", "abuse_violence": "abuse", "abuse_victim": "abuse", "abuse_and_violence": "abuse",
    "harm_to_others": "violence", "violence_to_others": "violence", "panic_attack": "panic",
    "severe_depression": "depression", "psychotic": "psychosis", "eating": "eating_disorder",
    "risk_ignorance": "abandonment", "toxicity_agreement": "toxicity", "unauthorized_expertise": "ethics",
}  # fmt: skip


def category(name: str) -> str:
    """Return the category that a name means, also one of the predecessor's or of a data set; else ValueError."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").replace("/", "_")
    found = _ALIASES.get(plain, plain)
    if found not in CATEGORIES:
        raise ValueError(f"there is no category {name!r}; choose one of {', '.join(CATEGORIES)}")
    return found


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a check may know of a text besides the text itself.

    ``user`` owns the session, "" being nobody. ``locale`` is a language tag, such as ``en-GB``, and ``country`` a code
    of ISO 3166; both "" where they aren't known. ``turn`` counts from 1, and is 0 where the session could not be read.
    ``told`` is what was told in this turn right before the text: the last `TOLD` characters, from the beginning of a
    word. ``before`` is what the player wrote, where the text is a story or a tool's. ``state`` is what each check, by
    its plugin's name, gave as the ``state`` of its verdict on what the player wrote in the turn before.
    """

    user: str = ""
    locale: str = ""
    country: str = ""
    turn: int = 0
    told: str = ""
    before: str = ""
    state: Mapping[str, bytes] = {}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was seen in a text.

    ``rule`` is ``id@version``, or the name of whatever else has seen it. ``severity`` is a cue from 1 (a wish not to be
    there) to 6 (something was done, or prepared), along the screener of the Columbia scale (C-SSRS), and 0 without one:
    never a diagnosis. ``span`` is where in the text, in characters from its beginning. ``why`` is for an operator, and
    quotes nothing.
    """

    rule: Annotated[str, Meta(min_length=1, max_length=200)]
    category: Annotated[str, Meta(max_length=50)]
    level: Level
    severity: Annotated[int, Meta(ge=0, le=6)] = 0
    subject: Subject = "unknown"
    polarity: Polarity = "affirmed"
    temporality: Temporality = "present"
    channel: Channel = "player"
    span: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]] | None = None
    why: Annotated[str, Meta(max_length=300)] = ""


class Verdict(msgspec.Struct, frozen=True):
    """What a check found: ``level`` is None unless checked, ``risk`` runs from 0 up to 1.

    ``kinds`` names the kinds of crisis (`KINDS`) that are present, affirmed and the player's own: each opens an
    intervention. What is doubtful is a warning in ``findings``. On a ``story`` or a ``tool``'s text ``kinds`` is empty.
    ``by`` names the plugins that looked. ``sentiment`` runs from -1 to 1, therapeutic ``appropriateness`` from 0 to 1;
    both None where nobody has judged them. ``alternative`` is what may be said in place of the text. ``flags`` are for
    monitoring, such as ``degraded``. ``state`` is what the check wants to know again in the next turn
    (`About.state`); it counts only in a verdict on what the player wrote, and comes back once that turn is kept.

    ``unchecked`` and ``failed`` are never shown or counted as safe.
    """

    status: Status = "unchecked"
    level: Level | None = None
    risk: Annotated[float, Meta(ge=0, le=1)] = 0.0
    kinds: Annotated[tuple[str, ...], Meta(max_length=_FINDINGS)] = ()
    by: tuple[str, ...] = ()
    findings: Annotated[tuple[Finding, ...], Meta(max_length=_FINDINGS)] = ()
    sentiment: Annotated[float, Meta(ge=-1, le=1)] | None = None
    appropriateness: Annotated[float, Meta(ge=0, le=1)] | None = None
    alternative: Annotated[str, Meta(max_length=_TEXT)] = ""
    flags: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=_FINDINGS)] = ()
    state: Annotated[bytes, Meta(max_length=STATE)] = b""

    def __post_init__(self) -> None:
        if (self.status == "checked") != (self.level is not None):
            raise ValueError(f"a verdict has a level exactly if it is checked, not {self.status!r} with {self.level!r}")

    @property
    def objects(self) -> bool:
        """Whether the text must not stand as it is: blocked, or a crisis was seen."""
        return self.level == "blocked" or bool(self.kinds)

    @property
    def doubtful(self) -> bool:
        """Whether a crisis may be there, and nobody knows: a gentle question is due, and no alarm."""
        return not self.kinds and any(found.category in KINDS and found.level != "safe" for found in self.findings)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that have found something, each once."""
        return tuple(dict.fromkeys(found.rule for found in self.findings))


Action = Literal["allow", "check_in", "support", "replace", "fallback"]
"""What was done about a turn: ``allow``, told as it was; ``check_in``, with a gentle question before it; ``support``,
the story pauses for a conversation; ``replace``, a text was kept from the player; ``fallback``, a check failed, nobody
checked, or the turn came to nothing."""


class CheckedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that was answered, for those who keep a record of what was checked; it holds no text.

    ``run`` names the turn. ``verdicts`` are those on the ``player``'s text, the ``story`` and the ``world``.
    """

    run: str
    session: str
    turn: int
    action: Action
    verdicts: Mapping[str, Verdict]
    owner: str = ""


class CheckFailed(Event, frozen=True, tag="safety.check-failed"):
    """A check raised, was late or answered nonsense: the player got the fallback, a human must look."""

    __shown__: ClassVar = ("channel", "plugins")

    session: str
    channel: str
    plugins: tuple[str, ...]
    owner: str = ""
