"""The service `Capabilities`: matching for whoever asks, whatever happens inside."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from logging import Logger
from typing import get_args

import anyio
import anyio.to_thread

from tta_agents import AgentId
from tta_kernel import as_failure, check_count, raised_at

from .discovery import Discovery
from .index import CapabilityIndex
from .matching import (
    Discovered,
    DiscoveryRequest,
    DiscoveryResult,
    Embedder,
    MatchCriteria,
    MatchResult,
    Strategy,
)  # fmt: skip
from .similarity import cosines, unit
from .strategies import Matcher, semantic, sought

BATCH = 64
"""How many texts it is given at once."""

_STRATEGIES: tuple[str, ...] = get_args(Strategy)


class Finder:
    """Finds agents by what they can do."""

    def __init__(
        self, index: CapabilityIndex, discovery: Discovery, embedder: Embedder | None, log: Logger, *,
        embedding_timeout: float,
    ) -> None:  # fmt: skip
        self._index, self._discovery, self._embedder, self._log = index, discovery, embedder, log
        self._embedding_timeout = embedding_timeout
        self._matcher = Matcher(index)
        self._vectors: dict[str, tuple[float, ...]] = {}

    async def match(
        self, criteria: MatchCriteria, strategy: Strategy = "weighted", *, max_results: int = 10
    ) -> Sequence[MatchResult]:
        matches, _ = await self._search(criteria, strategy, max_results)
        return matches

    async def discover(self, request: DiscoveryRequest) -> DiscoveryResult:
        began, at = time.perf_counter(), time.time()
        by_score = request.sort_by == "match_score" and request.sort_descending in (None, True)
        wanted = request.max_results if by_score else sys.maxsize
        matches, error = await self._search(request.criteria, request.strategy, wanted)
        if not by_score:
            matches = _sorted(matches, request)[: request.max_results]
        return DiscoveryResult(
            matches=tuple(matches), total_agents_searched=len(self._index), discovery_timestamp=at, error=error,
            search_duration_ms=(time.perf_counter() - began) * 1000,
        )  # fmt: skip

    async def refresh(self, agent: AgentId | None = None) -> None:
        await self._discovery.refresh(agent)

    def discovered(self) -> Sequence[Discovered]:
        return self._discovery.discovered()

    async def _search(self, criteria: MatchCriteria, strategy: Strategy, limit: int) -> tuple[list[MatchResult], str]:
        if strategy not in _STRATEGIES:
            raise ValueError(f"no strategy {strategy!r}; there are {', '.join(_STRATEGIES)}")
        check_count("max_results", limit)
        self._discovery.catch_up()
        try:
            return await self._find(criteria, strategy, limit), ""
        except BaseException as exc:  # noqa: BLE001 - criteria and metadata are a stranger's; a search stops no turn
            as_failure(exc)  # It goes on where somebody of ours asked for it.
            # The type and the place, not the text: what is sought may be a person's words.
            what = type(exc).__name__
            self._log.error("matching capabilities by the strategy %s raised %s at %s", strategy, what, raised_at(exc))
            return [], f"matching raised {type(exc).__name__}"

    async def _find(self, criteria: MatchCriteria, strategy: Strategy, limit: int) -> list[MatchResult]:
        if strategy == "semantic" and self._embedder is not None and (words := sought(criteria)):
            try:
                with anyio.fail_after(self._embedding_timeout):
                    scores = await self._embedded(self._embedder, words)
            except BaseException as exc:  # noqa: BLE001 - a stranger's embedder
                as_failure(exc)
                what, where = type(exc).__name__, raised_at(exc)
                self._log.warning("the embedder raised %s at %s; tf-idf answers instead", what, where)
            else:
                return semantic(self._index, criteria, limit, scores, "embedding")
        return self._matcher.match(criteria, strategy, limit)

    async def _embedded(self, embedder: Embedder, words: str) -> Mapping[str, float]:
        texts = list(self._index.texts)
        self._vectors = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in texts if text not in self._vectors]
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            vectors = await embedder.embed(batch)
            # Made whole first: of an answer with too few vectors not one may be kept for whichever text it isn't of.
            self._vectors |= dict(zip(batch, map(unit, vectors), strict=True))
        (query,) = await embedder.embed([words])
        # Thousands of texts take long enough to be felt by whoever else is waiting.
        known = {text: self._vectors[text] for text in texts if text in self._vectors}
        return await anyio.to_thread.run_sync(cosines, unit(query), known)


def _sorted(matches: list[MatchResult], request: DiscoveryRequest) -> list[MatchResult]:
    """Sort what is in the order of the scores already, so that equals stay in it."""
    if request.sort_by == "match_score":
        return sorted(matches, key=lambda each: each.match_score, reverse=request.sort_descending is not False)
    descending = request.sort_descending is True
    if request.sort_by == "agent_load":
        return sorted(matches, key=lambda each: each.agent_load_factor, reverse=descending)
    timed = [(ms, each) for each in matches if (ms := each.capability.estimated_duration_ms) is not None]
    untimed = [each for each in matches if each.capability.estimated_duration_ms is None]
    return [each for _, each in sorted(timed, key=lambda pair: pair[0], reverse=descending)] + untimed
