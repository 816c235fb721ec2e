"""Rules as data: what one of them says, and where a layer of rules may come from that many processes share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Protocol

import msgspec

from tta_kernel import Service

from .model import Channel, Level, Subject

MOST_RULES = 2000
LONGEST_PATTERN = 4000
"""In characters, with the parts that it names written out; most have a few hundred."""

Modifier = Literal["negation", "subject", "time", "hypothetical", "quotation", "education", "hyperbole", "fiction"]
"""What around a match may change what it means: see the package that applies the rules."""
MODIFIERS: tuple[Modifier, ...] = (
    "negation", "subject", "time", "hypothetical", "quotation", "education", "hyperbole", "fiction",
)  # fmt: skip
Validation = Literal["keyword", "sentiment", "context_aware", "crisis_detection", "therapeutic_boundary"]
TherapeuticContext = Literal[
    "general_therapy", "crisis_intervention", "cognitive_behavioral", "mindfulness", "trauma_informed",
    "addiction_recovery",
]  # fmt: skip

Kind = Literal[
    "suicide", "self_harm", "substance", "abuse", "violence", "psychosis", "eating_disorder", "panic", "depression"
]
"""One of `tta_safety.KINDS`."""

RuleId = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,79}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_PATTERN)]
Short = Annotated[str, msgspec.Meta(max_length=2000)]


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text on which a rule is tried whenever it is loaded."""

    text: Short
    channel: Channel | None = None
    """None: the first of the rule's own channels."""
    before: Short = ""
    """What the player wrote, where the text is a story."""
    level: Level | None = None
    """What context makes of the match, where that matters."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One rule: what it looks for, and what a match means.

    Patterns are RE2's, in lower case, since that is what texts are read as; any of them is enough. ``{name}`` stands
    for a part that the layer, or one below it, defines; a space for whatever may be between two words.
    """

    id: RuleId
    version: Annotated[int, msgspec.Meta(ge=1)] = 1
    category: Name
    kind: Kind | Literal[""] = ""
    """The kind of crisis that an affirmed match on the player's own text names, if any."""
    level: Level = "warning"
    severity: Annotated[int, msgspec.Meta(ge=0, le=6)] = 0
    """A cue along the C-SSRS screener, 1 (wish to be dead) to 6 (behaviour); 0 says nothing of it."""
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    """Which finding comes first, and is named where only one can be: the highest."""
    patterns: Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=64)] = ()
    unless: Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=64)] = ()
    """What takes a match away where it is in the same sentence: "cut myself" and "while shaving"."""
    validation: Validation = "context_aware"
    """``keyword``: a match stands as it is. ``sentiment`` has no patterns, and looks at the sentiment alone."""
    sensitivity: Share = 0.5
    """The risk of an affirmed match, and of a ``sentiment`` rule how far below 0 the sentiment must lie."""
    escalation_threshold: Share = 0.8
    """From which risk on a match asks for a person."""
    subject: Subject = "unknown"
    """Who the pattern itself says that it is about; ``unknown`` leaves that to the context."""
    modifiers: tuple[Modifier, ...] = MODIFIERS
    """Which kinds of context count; () means none."""
    contexts: tuple[TherapeuticContext, ...] = ()
    """For which therapeutic contexts the rule is meant; () means all."""
    guidelines: tuple[Short, ...] = ()
    """What whoever answers should mind; shown to operators."""
    channels: Annotated[tuple[Channel, ...], msgspec.Meta(min_length=1)] = ("player", "story", "tool")
    given: tuple[Kind, ...] = ()
    """A match counts only where the player's own text, ``About.before``, shows one of these kinds; () means always."""
    alternative: Short = ""
    """What is told instead of a blocked text: the name of a template, or the text itself."""
    why: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """What a match means, for whoever reads a finding."""
    enabled: bool = True
    floor: bool = False
    """No layer above may switch the rule off, or weaken it."""
    shadow: bool = False
    """The rule is only counted: it changes no verdict."""
    match: tuple[Short | Example, ...] = ()
    no_match: tuple[Short | Example, ...] = ()

    @property
    def reference(self) -> str:
        """What a finding, and an entry of the audit, call the rule."""
        return f"{self.id}@{self.version}"


class RuleSet(msgspec.Struct, frozen=True, dict=True):
    """All rules in force, by falling priority, with the parts written out; valid as data, not yet compiled."""

    rules: tuple[Rule, ...]
    guidelines: Mapping[str, tuple[str, ...]] = {}
    """What whoever answers should mind, by therapeutic context."""
    layers: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name exactly these rules."""
        raw = msgspec.json.encode((self.rules, dict(self.guidelines)), order="deterministic")
        return hashlib.sha256(raw).hexdigest()[:16]


class RuleText(msgspec.Struct, frozen=True):
    """A layer as it is written, YAML or JSON; ``tag`` changes whenever the text does."""

    text: str
    tag: str
    where: str
    """The name that operators know it by, such as ``redis key tta:safety:rules``."""


class RulesChanged(Exception):
    """The text to be written over isn't what it was when it was read."""


class RuleSourceError(Exception):
    """The source can't be reached, or what it has isn't what was written; the message says which."""


class RuleSource(Protocol):
    """A further layer of rules, which many processes share; it only keeps text, and judges none.

    Any call may raise `RuleSourceError`.
    """

    async def read(self) -> RuleText | None:
        """Return the layer as it is, or None where there is none."""

    async def changed(self, tag: str) -> None:
        """Return when the layer may be another one than that with this tag ("" is none); may return early."""

    async def write(self, text: str, *, tag: str, ttl: float | None = None) -> str:
        """Replace the layer that has this tag ("": there is none yet), and return the new tag.

        ``text`` "" takes the layer away. With ``ttl`` it goes by itself after so many seconds. Raises
        `RulesChanged` where somebody else was faster.
        """


RULES = Service[RuleSource]("safety-rule-source")
