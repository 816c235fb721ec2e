"""What the figures say of tools: which are used, slow, failing or never used, and what follows from that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from tta_capabilities.versions import version as semantic

from .figures import REFUSED, Figures
from .model import ToolSpec

MOST_SHOWN = 20
_ENOUGH = 50
"""Calls from which something follows."""
_SLOW = 1.0
"""Seconds in which most calls are to be done."""
_WORTH_KEEPING = 0.1
"""Seconds from which it pays to keep a result."""
_FAILING = 0.05
_OFTEN_CACHED = 0.5
_SELDOM_CACHED = 0.05


class Recommendation(Struct, frozen=True):
    """What to do about a tool, and the figure that says so."""

    tool: str
    what: str
    figure: str


class Report(Struct, frozen=True, kw_only=True):
    """Tools by ``name:version``, the most of each kind first."""

    used: Sequence[str]
    slow: Sequence[str]
    failing: Sequence[str]
    unused: Sequence[str]
    recommendations: Sequence[Recommendation]


def report(specs: Sequence[ToolSpec], figures: Mapping[str, Figures], static: Collection[str]) -> Report:
    """Return what follows from the figures; ``static`` are the tools that plugins declare."""
    known = {spec.id: figures.get(spec.id, Figures()) for spec in specs}
    called = {id: each for id, each in known.items() if each.calls}
    return Report(
        used=_by(called, {id: each.calls for id, each in called.items()}),
        slow=_by(called, {id: each.quantile(0.95) for id, each in called.items() if each.quantile(0.95) > _SLOW}),
        failing=_by(called, {id: each.error_rate for id, each in called.items() if each.error_rate > _FAILING}),
        unused=sorted(spec.id for spec in specs if spec.status == "active" and spec.id not in called)[:MOST_SHOWN],
        recommendations=[each for spec in specs for each in _of(spec, known[spec.id], specs, static)],
    )


def _by(called: Mapping[str, Figures], numbers: Mapping[str, float]) -> Sequence[str]:
    return sorted(numbers, key=lambda id: (-numbers[id], id))[:MOST_SHOWN]


def _of(spec: ToolSpec, found: Figures, specs: Sequence[ToolSpec], static: Collection[str]) -> Iterator[Recommendation]:
    if spec.status == "deprecated":
        if found.calls and (newer := _newer(spec, specs)):
            yield Recommendation(spec.id, f"have its callers take {newer}", f"{found.calls} calls, though deprecated")
        return
    if not found.calls:
        if newer := _newer(spec, specs):
            yield Recommendation(spec.id, "deprecate it", f"0 calls, and there is {newer}")
        return
    if found.calls < _ENOUGH:
        return
    if spec.id not in static:
        yield Recommendation(spec.id, "make it static, in a plugin", f"{found.calls} calls of a tool that is built")
    if found.error_rate > _FAILING:
        often = max(found.failures, key=lambda code: (code not in REFUSED, found.failures[code]))
        what = f"{found.error_rate:.0%} of {found.made} calls fail, most with {often}"
        yield Recommendation(spec.id, "mend it, or deprecate it", what)
    yield from _of_cache(spec, found)


def _of_cache(spec: ToolSpec, found: Figures) -> Iterator[Recommendation]:
    rate = found.cached / found.calls
    p95 = found.quantile(0.95)
    if spec.cache_ttl is None:
        if spec.idempotent and p95 >= _WORTH_KEEPING:
            what = f"95 % of {found.calls} calls take up to {p95:.2g} s"
            yield Recommendation(spec.id, "give it a cache_ttl", what)
    elif rate >= _OFTEN_CACHED:
        yield Recommendation(spec.id, "raise its cache_ttl", f"{rate:.0%} of {found.calls} calls had a kept result")
    elif rate < _SELDOM_CACHED:
        yield Recommendation(spec.id, "drop its cache_ttl", f"{rate:.0%} of {found.calls} calls had a kept result")


def _newer(spec: ToolSpec, specs: Sequence[ToolSpec]) -> str:
    """Return the newest active version of a tool, if that is another one; no pre-release."""
    versions = [each.version for each in specs if each.name == spec.name and each.status == "active"]
    newer = [each for each in versions if semantic(each) > semantic(spec.version) and not semantic(each).prerelease]
    return f"{spec.name}:{max(newer, key=semantic)}" if newer else ""
