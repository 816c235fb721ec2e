"""One verdict of what the rules, the heads and the turns before say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tta_safety import KINDS, SHIPPED, About, Channel, Finding, Help, Level, Verdict
from tta_safety.alternatives import alternative, fallback

from . import state as memory
from .engine import Hit
from .language import LANGUAGES
from .policy import LEVELS, finding_of, kind_of, level_of, risk_of
from .scores import CRISIS, FAULTS, UNSAFE, Scores, Threshold, Weighing
from .weighing import told_by_rules, weighed

_GIVEN: Mapping[str, frozenset[str]] = {"delusion": frozenset({"psychosis"})}
"""What a head may block alone only after a disclosure of these kinds: there must be a delusion to confirm one."""
_MOST = 50
"""How many findings a verdict names; the worst ones."""
_SEVERE, _NEGATIVE = -0.7, -0.3
"""Below which sentiment a verdict is flagged."""


class Opinion(NamedTuple):
    """What the heads say together of a text, by which name, and from where on that counts."""

    name: str
    scores: Scores
    thresholds: Mapping[str, Threshold]
    weighing: Weighing = Weighing()


class _Match(NamedTuple):
    """The worst match of a rule, and what it is by itself."""

    hit: Hit
    finding: Finding
    kind: str
    risk: float
    escalates: bool

    @property
    def rank(self) -> tuple[int, bool, float]:
        return LEVELS.index(self.finding.level), bool(self.kind), self.risk


class Judged(NamedTuple):
    """A verdict, and what it was made of: the risk by category, and who asks for a person."""

    verdict: Verdict
    risks: Mapping[str, float]
    escalates: bool


class Evidence:
    """What is known of one text; made a verdict once everybody has spoken."""

    def __init__(
        self, channel: Channel, speaks: Callable[[], bool] = lambda: True, commands: Callable[[], bool] = lambda: False,
        help: Help = SHIPPED,
    ) -> None:  # fmt: skip
        self.channel, self._help = channel, help
        self._speaks = speaks
        """Whether the person speaks of themselves at all: "burn its body" is a command, and adds up to nothing."""
        self._commands = commands
        """Whether it is so short a command that heads, which saw few of them, can't tell it from a cry for help."""
        self.findings: list[Finding] = []
        self.risks: dict[str, float] = {}
        self.kinds: list[str] = []
        self.escalates = False
        self._matches: dict[str, _Match] = {}
        self._alternatives: list[tuple[Level, int, str, str]] = []

    def add_hits(self, hits: Iterable[Hit]) -> None:
        """Add what the rules have found; of each rule the worst match counts, and it stands until heads are heard."""
        for hit in hits:
            if hit.rule.shadow:
                continue
            level = level_of(hit, self.channel)
            risk = risk_of(hit, level)
            found = _Match(
                hit,
                finding_of(hit, level, self.channel),
                kind_of(hit, level, self.channel),
                risk,
                level != "safe" and risk >= hit.rule.escalation_threshold,
            )
            before = self._matches.get(hit.rule.id)
            if before is None or found.rank > before.rank:
                self._matches[hit.rule.id] = found
        if self._matches:
            self._tell()

    def _tell(self) -> None:
        """Say what the matches say, and nothing else."""
        matches = self._matches.values()
        self.findings = [it.finding for it in matches]
        self.kinds = [*dict.fromkeys(it.kind for it in matches if it.kind)]
        self.escalates = any(it.escalates for it in matches)
        self.risks = {}
        self._alternatives = []
        for it in matches:
            self._raise({it.finding.category: it.risk})
            rule = it.hit.rule
            self._alternatives.append((it.finding.level, rule.priority, rule.alternative, it.finding.category))

    def add_sentiment(self, rule_name: str, category: str, level: Level, why: str) -> None:
        """Add what the sentiment alone says."""
        self.findings.append(
            Finding(rule=rule_name, category=category, level=level, polarity="possible", channel=self.channel, why=why)
        )

    def add_opinion(
        self, opinion: Opinion, disclosed: Callable[[], Collection[str]] = tuple, *, contradicts: bool = True
    ) -> None:
        """Add what the heads say: a warning from the first threshold on, a kind of crisis from the second.

        Before anything but hits is added. What the heads speak against is lowered, but where they don't contradict.
        ``disclosed`` returns the kinds that the player's text shows, where the text is another's.
        """
        risks = dict(opinion.scores.risks)
        if self.channel == "player":
            matches = ((it.hit, it.finding.level) for it in self._matches.values())
            risks |= weighed(opinion.weighing, opinion.scores, told_by_rules(matches, opinion.weighing.rules))
            if contradicts and self._matches:
                for name, match in self._matches.items():
                    self._matches[name] = _reconsidered(match, risks, opinion)
                self._tell()
        thresholds = opinion.thresholds
        self._raise(risks)
        over = [it for it, risk in risks.items() if it in thresholds and risk >= thresholds[it].warning]
        warned = {it.category for it in self.findings if it.level != "safe"}
        blocked: dict[str, bool] = {}
        for category in over:
            certain = risks[category] >= thresholds[category].escalate
            named = self._likeliest(risks, category)
            if certain and self.channel == "player" and named in KINDS and named not in self.kinds:
                self.kinds.append(named)
            self.escalates |= certain
            if named in warned and category in opinion.weighing.shares:
                continue  # The rule that warns of it says more.
            if not certain and self.channel == "player" and self._commands():
                continue
            blocks = certain and self.channel != "player"
            if blocks and named in _GIVEN:
                blocks = not _GIVEN[named].isdisjoint(disclosed())
            if category == UNSAFE and blocked.get(named, False) >= blocks and named in blocked:
                continue  # It was said by its own column.
            blocked[named] = blocks
            self.findings.append(
                Finding(
                    rule=opinion.name,
                    category=named,
                    level="blocked" if blocks else "warning",
                    subject="self" if self.channel == "player" else "unknown",
                    polarity="affirmed" if certain else "possible",
                    channel=self.channel,
                    why="reads like it, to a statistical head",
                )
            )
            self._alternatives.append(("blocked" if blocks else "warning", 0, "", named))

    def add_turns_before(self, before: memory.State) -> None:
        """Add what the turns before make of a doubt: several of them are one no more."""
        doubt = self._doubt()
        if not doubt or not self._counts(doubt) or self.kinds or before.doubts + 1 < memory.ENOUGH:
            return
        self.kinds.append(doubt.category)
        self._raise({doubt.category: 1 - (1 - self.risks.get(doubt.category, 0)) * (1 - before.risk)})
        why = f"the {before.doubts + 1}. doubtful turn of late"
        self.findings.append(
            Finding(
                rule="turns@1", category=doubt.category, level="warning", severity=max(before.severity, doubt.severity),
                subject="self", channel=self.channel, why=why,
            )
        )  # fmt: skip

    def _doubt(self) -> Finding | None:
        if not self.findings:
            return None
        found = [it for it in self.findings if it.category in KINDS and it.level != "safe"]
        return max(found, key=lambda it: (it.severity, self.risks.get(it.category, 0)), default=None)

    def _counts(self, doubt: Finding) -> bool:
        """Whether a doubt adds up with others: a head's alone only where the person speaks of themselves."""
        return doubt.span is not None or self._speaks()

    @staticmethod
    def _likeliest(risks: Mapping[str, float], category: str) -> str:
        """Return what a finding names: for what sums up others, the likeliest of these."""
        if category == CRISIS:
            return max(KINDS, key=lambda kind: risks.get(kind, 0.0))
        if category == UNSAFE:
            return max((it for it in risks if it in FAULTS), key=lambda it: risks[it], default="toxicity")
        return category

    def _raise(self, risks: Mapping[str, float]) -> None:
        for category, risk in risks.items():
            if risk > 0:
                self.risks[category] = 1 - (1 - self.risks.get(category, 0.0)) * (1 - risk)

    def level(self) -> Level:
        """Return the highest level of all findings."""
        if not self.findings:
            return "safe"
        return max((it.level for it in self.findings), key=LEVELS.index, default="safe")

    def remembered(self, before: memory.State, turn: int, tail: str) -> memory.State:
        """Return what the next turn should know."""
        doubt = self._doubt()
        if doubt and not self._counts(doubt):
            doubt = None
        doubts = 0 if self.kinds else min(before.doubts + 1, 1000) if doubt else before.doubts
        worst = max((it.severity for it in self.findings if it.level != "safe"), default=0)
        return memory.State(
            version=before.version,
            risk=max(before.risk, *(self.risks.get(kind, 0.0) for kind in KINDS)),
            severity=max(before.severity, worst),
            doubts=doubts,
            doubted=turn if doubt else before.doubted,
            category=doubt.category if doubt else before.category,
            turn=turn,
            tail=tail,
        )

    def _alternative(self, about: About, *, unread: bool) -> str:
        """Return what may be said in place of the text; a rule has words of its own, or the name of a category."""
        if unread:
            return fallback(about.locale, about.country, languages=LANGUAGES, help=self._help)
        level = self.level()
        said = [it for it in self._alternatives if it[0] == level]
        if level == "safe" or not said:
            return ""
        _, _, wanted, category = max(said, key=lambda it: it[1])
        if " " in wanted.strip():
            return wanted
        severity = max((it.severity for it in self.findings), default=0)
        return alternative(wanted or category, severity, about.locale, about.country, help=self._help)

    def judged(
        self, about: About, *, sentiment: float | None, known: bool, flags: Sequence[str], state: bytes
    ) -> Judged:
        """Return the verdict."""
        level = self.level()
        findings = sorted(self.findings, key=lambda it: (-LEVELS.index(it.level), -it.severity))[:_MOST]
        kinds = tuple(it for it in KINDS if it in self.kinds)
        risk = min(1.0, max(self.risks.values(), default=0.0))
        raised = [*flags, *self._flags(level, sentiment, kinds)]
        unread = not known and level == "safe" and not kinds
        if not known:
            raised.append("language_unknown")
        if unread:
            findings.append(Finding(rule="language@1", category="language", level="warning", channel=self.channel))
        verdict = Verdict(
            "unchecked" if unread else "checked",
            None if unread else level,
            round(risk, 4),
            kinds,
            findings=tuple(findings),
            sentiment=sentiment,
            appropriateness=None if unread else self._appropriateness(sentiment or 0.0),
            alternative=self._alternative(about, unread=unread),
            flags=tuple(raised),
            state=state,
        )
        return Judged(verdict, self.risks, self.escalates or bool(kinds))

    def _flags(self, level: Level, sentiment: float | None, kinds: Sequence[str]) -> Iterable[str]:
        if kinds:
            yield "crisis_detected"
        if sentiment is not None and sentiment < _NEGATIVE:
            yield "severe_negative_sentiment" if sentiment < _SEVERE else "negative_sentiment"
        if kinds or self.escalates:
            yield "escalation_required"
        if level == "blocked":
            yield "content_blocked"

    def _appropriateness(self, sentiment: float) -> float:
        """Return how fit a text is for a therapeutic story: 0.4 less for what blocks, and 0.2 for a warning."""
        levels = [it.level for it in self.findings]
        blocked, warnings = levels.count("blocked"), levels.count("warning")
        if not blocked and not warnings:
            return round(min(1.0, 0.8 + 0.2 * sentiment), 4)
        return round(max(0.0, 1 - 0.4 * blocked - 0.2 * warnings), 4)


def _reconsidered(match: _Match, risks: Mapping[str, float], opinion: Opinion) -> _Match:
    """Return what a match is beside what the heads say.

    One of a rule that wasn't measured stands as it is. That of a floor rule keeps its level, and where that is the
    highest, its kind: it is what nobody may miss.
    """
    rule = match.hit.rule
    threshold = opinion.thresholds.get(rule.category)
    if rule.reference not in opinion.weighing.rules or threshold is None:
        return match
    risk = risks[rule.category]
    finding = match.finding
    contradicted = rule.reference in opinion.weighing.broad and not rule.floor
    if contradicted and finding.level != "safe" and risk < threshold.warning:
        finding = msgspec.structs.replace(finding, level="safe", why=f"{finding.why} (the heads say otherwise)")
    stands = rule.floor and finding.level == "blocked"
    named = match.kind if stands or risk >= threshold.escalate else ""
    # Its risk is part of what was weighed.
    return match._replace(finding=finding, kind=named, risk=0.0, escalates=match.escalates and stands)
