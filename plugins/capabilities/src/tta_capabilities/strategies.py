"""The strategies: how well a capability fits what is sought, and which are the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from heapq import heappush, heapreplace
from itertools import groupby, islice

from .index import CapabilityIndex
from .matching import MatchCriteria, MatchResult, Method
from .postings import Entry, Item, admitted
from .similarity import DIGITS, Texts, similar
from .versions import Verdict, verdicts

NAME, TYPE, VERSION, SPEED = 0.4, 0.3, 0.2, 0.1
"""The weights of the weighted strategy."""
PART_OF_NAME, NOT_PREFERRED, TOO_SLOW = 0.7, 0.8, 0.5
"""What a part of the name, a version that is merely in range, and a slow capability count there, instead of 1."""
LEAST_ALIKE, LEAST_NEAR = 0.6, 0.2
"""The thresholds of the fuzzy and the semantic strategy, where the criteria have no ``min_score``."""
UNNAMED = 0.5
"""The fuzzy score of what no name was asked of."""

Found = Iterable[tuple[float, Entry, Verdict]]


def weigh(*, named: bool, preferred: bool, quick: bool) -> float:
    """Return the score of the weighted strategy; the kind always fits, as what doesn't is no match."""
    name, version, speed = 1 if named else PART_OF_NAME, 1 if preferred else NOT_PREFERRED, 1 if quick else TOO_SLOW
    return round(NAME * name + TYPE + VERSION * version + SPEED * speed, DIGITS)


# Best first, by (preferred, quick).
_CLASSES = ((True, True), (False, True), (True, False), (False, False))
_WHOLE, _PART = ([weigh(named=named, preferred=p, quick=q) for p, q in _CLASSES] for named in (True, False))


def exact(index: CapabilityIndex, criteria: MatchCriteria, limit: int) -> list[MatchResult]:
    """Score 1 for what has the name and meets every demand."""
    found = ((1.0, entry, verdict) for entry, verdict in _asked(index, _name(criteria), criteria))
    return results(islice(found, limit), criteria, "exact")


def weighted(index: CapabilityIndex, criteria: MatchCriteria, limit: int) -> list[MatchResult]:
    """Score by name, kind, version and speed."""
    name = criteria.capability_name
    found = _classed(index, _name(criteria), criteria, limit, _WHOLE)
    # The worst whole name is better than the best part of one.
    if name and len(found) < limit and (others := index.containing(name)):
        found += _classed(index, others, criteria, limit - len(found), _PART)
    return results(_above(found, criteria.min_score), criteria, "weighted")


def fuzzy(index: CapabilityIndex, criteria: MatchCriteria, limit: int) -> list[MatchResult]:
    """Score by how alike the names are."""
    least = LEAST_ALIKE if criteria.min_score is None else criteria.min_score
    if not criteria.capability_name:
        found: Found = ((UNNAMED, e, v) for e, v in admitted(index.everything(), criteria)) if least <= UNNAMED else ()
        return results(islice(found, limit), criteria, "fuzzy")
    alike = similar(criteria.capability_name, index.names, at_least=least)
    return results(islice(_ranked(alike, index.named, criteria), limit), criteria, "fuzzy")


def priority(index: CapabilityIndex, criteria: MatchCriteria, limit: int) -> list[MatchResult]:
    """Score by a tenth of the priority times what the agent has left to give."""
    best: list[tuple[float, int, Entry, Verdict]] = []
    for number, (entry, verdict) in enumerate(_asked(index, _name(criteria), criteria)):
        left = 1 - entry.agent.load
        if len(best) == limit and best[0][0] >= round(left, DIGITS):
            break  # Whoever comes now has even less left.
        score = round(entry.capability.priority / 10 * left, DIGITS)
        if len(best) < limit:
            heappush(best, (score, -number, entry, verdict))
        elif score > best[0][0]:
            heapreplace(best, (score, -number, entry, verdict))
    best.sort(key=lambda each: each[:2], reverse=True)
    return results(_above([(score, e, v) for score, _, e, v in best], criteria.min_score), criteria, "priority")


def semantic(
    index: CapabilityIndex, criteria: MatchCriteria, limit: int, scores: Mapping[str, float], method: Method
) -> list[MatchResult]:
    """Score by ``scores``, how near the text of a capability comes to what is sought."""
    least = LEAST_NEAR if criteria.min_score is None else criteria.min_score
    near = {text: score for text, score in scores.items() if score >= least}
    return results(islice(_ranked(near, lambda t, _: index.saying(t), criteria), limit), criteria, method)


def sought(criteria: MatchCriteria) -> str:
    """Return what the semantic strategy looks for, in words."""
    name = (criteria.capability_name or "").replace("_", " ").replace("-", " ")
    return " ".join(filter(None, (criteria.query, name, *sorted(criteria.required_tags))))


class Matcher:
    """Matches within one index; all of it runs without waiting."""

    def __init__(self, index: CapabilityIndex) -> None:
        self._index, self._texts = index, Texts()

    def match(self, criteria: MatchCriteria, strategy: str = "weighted", limit: int = 10) -> list[MatchResult]:
        """Return the best; the semantic strategy goes by tf-idf here."""
        if strategy == "semantic":
            self._texts.keep(self._index.texts)
            return semantic(self._index, criteria, limit, self._texts.scores(sought(criteria)), "tf-idf")
        return STRATEGIES[strategy](self._index, criteria, limit)


STRATEGIES: Mapping[str, Callable[[CapabilityIndex, MatchCriteria, int], list[MatchResult]]] = {
    "exact": exact, "weighted": weighted, "fuzzy": fuzzy, "priority": priority,
}  # fmt: skip


def results(found: Found, criteria: MatchCriteria, method: Method) -> list[MatchResult]:
    """Say what was found in the words of the caller."""
    name, slowest, any_version = criteria.capability_name, criteria.max_duration_ms, criteria.preferred_version is None
    made = []
    for score, entry, verdict in found:
        agent, capability = entry.agent, entry.capability
        version = any_version or verdict == 2
        quick = slowest is None or entry.duration <= slowest
        exactly = version and quick and (not name or name == capability.name)
        made.append(
            MatchResult(agent.id, capability, score, exactly, version, quick, agent.load, agent.available, method)
        )
    return made


def _name(criteria: MatchCriteria) -> list[str] | None:
    return [criteria.capability_name] if criteria.capability_name else None


def _asked(
    index: CapabilityIndex, names: Sequence[str] | None, criteria: MatchCriteria, only: Set[str] = frozenset()
) -> Iterator[tuple[Entry, Verdict]]:
    items = index.everything(only) if names is None else index.named(names, criteria, only)
    return admitted(items, criteria)


def _classed(
    index: CapabilityIndex, names: Sequence[str] | None, criteria: MatchCriteria, limit: int, scores: list[float]
) -> list[tuple[float, Entry, Verdict]]:
    """Return the best ``limit``, of which there are only four kinds: preferred or not, quick or slow."""
    slowest = math.inf if criteria.max_duration_ms is None else criteria.max_duration_ms
    best: list[tuple[float, Entry, Verdict]] = []
    slow: list[tuple[float, Entry, Verdict]] = []
    # The few preferred ones first, so that of the many others only the first need be looked at.
    if preferred := _preferred(index, criteria):
        for entry, verdict in _asked(index, names, criteria, preferred):
            if entry.duration <= slowest:
                best.append((scores[0], entry, verdict))
                if len(best) == limit:
                    return best
            elif len(slow) < limit:
                slow.append((scores[2], entry, verdict))
    slower: list[tuple[float, Entry, Verdict]] = []
    for entry, verdict in _asked(index, names, criteria):
        if verdict == 2:
            continue
        if entry.duration <= slowest:
            best.append((scores[1], entry, verdict))
            if len(best) == limit:
                return best
        elif len(slower) < limit:
            slower.append((scores[3], entry, verdict))
    return (best + slow + slower)[:limit]


def _preferred(index: CapabilityIndex, criteria: MatchCriteria) -> Set[str]:
    if criteria.preferred_version is None:
        return frozenset()
    judge = verdicts(criteria.version, criteria.min_version, criteria.max_version, criteria.preferred_version)
    return {version for version in index.versions if judge[version] == 2}


def _ranked(
    scores: Mapping[str, float], items: Callable[[list[str], MatchCriteria], Iterable[Item]], criteria: MatchCriteria
) -> Iterator[tuple[float, Entry, Verdict]]:
    """Yield best first; where scores are equal, least load first."""
    by_score = sorted(scores, key=scores.__getitem__, reverse=True)
    for score, group in groupby(by_score, key=scores.__getitem__):
        for entry, verdict in admitted(items(list(group), criteria), criteria):
            yield score, entry, verdict


def _above(found: list[tuple[float, Entry, Verdict]], least: float | None) -> Iterable[tuple[float, Entry, Verdict]]:
    return found if not least else [each for each in found if each[0] >= least]
