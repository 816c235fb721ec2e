"""What other engines say of a call, merged with what the rules say: the strictest of all."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from tta_kernel import LONGEST

from .model import Decision, Effect, Limits, Rate

_STRICTEST: tuple[Effect, ...] = ("deny", "ask", "allow")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
Answers = Mapping[str, Decision | Exception | None]
N = TypeVar("N", int, float)


async def with_opinions(decision: Decision, ask: Callable[[], Awaitable[Answers]]) -> Decision:
    """Return the strictest of what the rules say and what every other engine answers; no answer is a denial."""
    found = [decision]
    for plugin, answer in sorted((await ask()).items()):
        opinion = _opinion(decision, plugin, answer)
        if opinion is not None:
            found.append(opinion)
    # Of several that are as strict, what the rules say goes first.
    strictest = min(found, key=lambda each: _STRICTEST.index(each.effect))
    if strictest.effect == "deny":
        return strictest
    limits = Limits()
    for each in found:
        limits = narrower(limits, each.limits)
    times = [each.approval_ttl for each in found if each.effect == "ask" and each.approval_ttl is not None]
    return replace(strictest, limits=limits, approval_ttl=min(times, default=None))


def narrower(one: Limits, other: Limits) -> Limits:
    """Return limits that hold a call to both."""
    return Limits(
        timeout=_least(one.timeout, other.timeout),
        concurrency=_least(one.concurrency, other.concurrency),
        rate=_slower(one.rate, other.rate),
        cpu_percent=_least(one.cpu_percent, other.cpu_percent),
        memory=_least(one.memory, other.memory),
    )


def is_sound(decision: Decision) -> bool:
    """Say whether the numbers of a stranger's decision can be meant; the types were checked."""
    limits = decision.limits
    numbers = [decision.approval_ttl, limits.timeout, limits.concurrency, limits.cpu_percent, limits.memory]
    if limits.rate is not None:
        numbers += [limits.rate.count, limits.rate.per]
    given = [number for number in numbers if number is not None]
    if any(isinstance(number, bool) for number in given):
        return False
    # A memory is counted in bytes, so it may be a larger number than any time.
    return all(0 < number < math.inf for number in given) and (decision.approval_ttl or 0) <= LONGEST


def _opinion(decision: Decision, plugin: str, answer: object) -> Decision | None:
    if answer is None:
        return None
    rule = f"hook:{plugin}"
    if not isinstance(answer, Decision) or not is_sound(answer):
        late = isinstance(answer, TimeoutError)
        return replace(
            decision,
            effect="deny",
            rule=rule,
            reason="late" if late else "no-answer",
            limits=Limits(),
            approval_ttl=None,
        )
    # What it says of itself is shown and recorded, so it must be a word.
    reason = answer.reason if _WORD.fullmatch(answer.reason) else "another-engine"
    named = f"{rule}:{answer.rule}" if _WORD.fullmatch(answer.rule) else rule
    return replace(answer, rule=named, reason=reason, policy=decision.policy, shadow=decision.shadow)


def _least(one: N | None, other: N | None) -> N | None:
    given = [each for each in (one, other) if each is not None]
    return min(given, default=None)


def _slower(one: Rate | None, other: Rate | None) -> Rate | None:
    given = [each for each in (one, other) if each is not None]
    return min(given, key=lambda rate: rate.count / rate.per, default=None)
