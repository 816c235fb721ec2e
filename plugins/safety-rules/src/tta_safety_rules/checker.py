"""One text, looked at by all: folded, searched for rules, scored by the heads, and judged with what came before."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b

import anyio.lowlevel

from tta_safety import SHIPPED, About, Channel, Help

from . import state as memory
from .context import commands, speaks
from .engine import Engine, Hit, Place
from .folding import Folded, fold
from .fusion import Evidence, Judged, Opinion
from .language import is_known
from .scores import DeepHead, Head, Scores

WINDOW = 4000
"""How many characters are looked at in one go; a longer text comes in windows that overlap."""
OVERLAP = 1000
"""The longest match that is found wherever it stands."""
_CONTEXT = 300
"""How many characters of what was told before are searched with a piece of a story."""
_SHORT = 200
"""Up to how many characters a text may be the end of what began in the turn before."""
_REACH = 100
"""How far what begins in one text and ends in the next may reach into each of them."""
_LIKELY = 0.2
"""From which risk on a head may have heard of something in what the player wrote before a story."""
_REMEMBERED = 64


class Checker:
    """Looks at texts with the rules in force; each verdict is of one set of rules, whatever is loaded meanwhile."""

    def __init__(
        self, engine: Engine, head: Head | None = None, deep: DeepHead | None = None, help: Help = SHIPPED
    ) -> None:  # fmt: skip
        self.engine, self.help = engine, help
        self.head = head
        self.deep = deep
        self.shadows: Counter[str] = Counter()
        """How often a shadow rule has matched."""
        self._disclosed: OrderedDict[tuple[str, bytes], frozenset[str]] = OrderedDict()

    async def examine(self, text: str, channel: Channel, about: About, *, state: bytes = b"") -> Judged:
        """Judge a text; ``state`` is what the verdict on the turn before gave."""
        engine = self.engine
        evidence = Evidence(channel, partial(speaks, text), partial(commands, text), self.help)
        before = memory.read(state).faded(about.turn) if channel == "player" else memory.State()
        scores: Scores | None = None
        for start in windows(len(text)):
            if start:
                await anyio.lowlevel.checkpoint()  # Others have their turn between the parts of a long text.
            piece = text[start : start + WINDOW]
            hits, found = self._look(engine, piece, channel, about, first=not start, tail=before.tail)
            evidence.add_hits(moved(hits, start))
            scores = found if scores is None else _worse(scores, found)
        flags, sentiment = await self._add_heads(evidence, text, channel, about, scores)
        self._add_sentiment(engine, evidence, channel, sentiment)
        carried = b""
        if channel == "player":
            evidence.add_turns_before(before)
            tail = "" if evidence.kinds else memory.tail(f"{before.tail} {text}".strip())
            carried = memory.write(evidence.remembered(before, about.turn, tail))
        return evidence.judged(
            about,
            sentiment=sentiment,
            # A language that the deployment has rules of its own for is judged by these.
            known=is_known(text, scores) or self.help.texts.reads(text),
            flags=flags,
            state=carried,
        )

    def _look(
        self, engine: Engine, piece: str, channel: Channel, about: About, *, first: bool, tail: str
    ) -> tuple[list[Hit], Scores | None]:
        lead = about.told[-_CONTEXT:] if channel != "player" else tail if len(piece) <= _SHORT else ""
        lead = _end(lead) if first else ""
        gap = len(lead) + 1
        both = fold(f"{lead} {piece}") if lead else None
        places: Sequence[Place] | None = None
        if both is None or both.changed:
            folded = fold(piece)
        else:
            # Where nothing was undone in both, nothing is in the end of it.
            folded = Folded(piece, both.plain[gap:], both.text[gap:], ())
            places = engine.places(both.text, channel)
            if places is not None and engine.is_plain(both.text, channel, places):
                return [], self._score(folded.text, _before(channel, about))  # In one look, as it nearly always is.
        hits = [it for it in engine.search(folded, channel, among=places) if self._counts(it, engine, about)]
        if lead:
            hits += (
                Hit(it.rule, (0, it.span[1] - gap), it.circumstances)
                for it in engine.search(fold(f"{lead} {_beginning(piece)}"), channel, among=places)
                if it.span[0] < len(lead) and it.span[1] > gap and self._counts(it, engine, about)
            )
        return hits, self._score(folded.text, _before(channel, about))

    def _score(self, text: str, before: str | None) -> Scores | None:
        return self.head.score(text, before) if self.head else None

    def _counts(self, hit: Hit, engine: Engine, about: About) -> bool:
        """Whether a match counts: not a shadow's, and after a disclosure alone where the rule asks for one."""
        if hit.rule.shadow:
            self.shadows[hit.rule.reference] += 1
            return False
        return not hit.rule.given or not self._kinds_in(about.before, engine).isdisjoint(hit.rule.given)

    def _kinds_in(self, text: str, engine: Engine) -> frozenset[str]:
        """Return the kinds of crisis in what the player wrote; a story asks for each of its sentences."""
        if not text:
            return frozenset()
        key = (engine.rules.digest, blake2b(text.encode(errors="replace"), digest_size=16).digest())
        if key not in self._disclosed:
            pieces = (text[start : start + WINDOW] for start in windows(min(len(text), 4 * WINDOW)))
            self._disclosed[key] = frozenset().union(*map(engine.disclosed, pieces))
            if len(self._disclosed) > _REMEMBERED:
                self._disclosed.popitem(last=False)
        return self._disclosed[key]

    async def _add_heads(
        self, evidence: Evidence, text: str, channel: Channel, about: About, scores: Scores | None
    ) -> tuple[list[str], float | None]:
        """Add what the heads say; return flags, and the sentiment."""
        if self.head is None or scores is None:
            return ["degraded"], None

        head = self.head

        def disclosed() -> frozenset[str]:
            # A head that hears of something more often than not would warn; it need only not be surprised here.
            risks = head.score(fold(about.before).text, None).risks if about.before else {}
            return self._kinds_in(about.before, self.engine) | {it for it, risk in risks.items() if risk >= _LIKELY}

        alone = Opinion(self.head.name, scores, self.head.thresholds.get(channel, {}), self.head.weighing)
        if self.deep is None or not (channel == "player" or _unsure(alone, evidence)):
            evidence.add_opinion(alone, disclosed)
            return [], scores.sentiment
        deep = await self.deep.score(fold(text).text, _before(channel, about))
        if deep is None:
            # What the deep head might have contradicted stands: the stricter of the two counts.
            evidence.add_opinion(alone, disclosed, contradicts=False)
            return ["degraded"], scores.sentiment
        # It has heard what the first head says, and says what both say together.
        thresholds = self.deep.thresholds.get(channel, {})
        evidence.add_opinion(Opinion(self.deep.name, deep, thresholds, self.deep.weighing), disclosed)
        return [], deep.sentiment

    @staticmethod
    def _add_sentiment(engine: Engine, evidence: Evidence, channel: Channel, sentiment: float | None) -> None:
        if sentiment is None:
            return
        for rule in engine.sentiment:
            if channel in rule.channels and not rule.shadow and sentiment <= -rule.sensitivity:
                evidence.add_sentiment(rule.reference, rule.category, rule.level, rule.why)


def _end(text: str) -> str:
    """Return the end of a text, from the beginning of a word."""
    return text if len(text) <= _REACH else text[-_REACH:].partition(" ")[2]


def _beginning(text: str) -> str:
    """Return the beginning of a text, up to the end of a word."""
    return text if len(text) <= _REACH else text[:_REACH].rpartition(" ")[0]


def windows(length: int) -> range:
    """Return where the windows over a text begin; there is one at least."""
    if length <= WINDOW:
        return range(1)
    return range(0, length - OVERLAP, WINDOW - OVERLAP)


def moved(hits: list[Hit], start: int) -> Iterator[Hit]:
    """Yield hits of a window as they stand in the whole text."""
    for hit in hits:
        yield Hit(hit.rule, (hit.span[0] + start, hit.span[1] + start), hit.circumstances) if start else hit


def _unsure(opinion: Opinion, evidence: Evidence) -> bool:
    """Whether a slower look may change what is said: something was seen, or nearly."""
    near = (opinion.scores.risks.get(name, 0.0) >= 0.5 * it.warning for name, it in opinion.thresholds.items())
    return bool(evidence.findings) or any(near)


def _before(channel: Channel, about: About) -> str | None:
    """Return what the player wrote where the text is another's, by which a head knows that it is."""
    return None if channel == "player" else about.before


def _worse(one: Scores | None, other: Scores | None) -> Scores | None:
    """Return the higher risk by category of two parts of a text."""
    if one is None or other is None:
        return one or other
    risks = {name: max(one.risks.get(name, 0.0), risk) for name, risk in other.risks.items()}
    sentiment = min((it.sentiment for it in (one, other) if it.sentiment is not None), default=None)
    longer = max(one, other, key=lambda it: it.words)
    return Scores(risks, sentiment, longer.known, longer.words)
