"""Semantic versions as SemVer 2.0.0 orders them, and constraints on them such as ``>=1.2,<2``."""

from __future__ import annotations

import re
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import Literal

from semver import Version

__all__ = ["Constraint", "Verdict", "Verdicts", "constraint", "verdicts", "version"]

Verdict = Literal[0, 1, 2]
"""Of a version: 0 out of range, 1 in range, 2 the preferred one."""

_NUMBER = r"(?:0|[1-9][0-9]*)"
_COMPARATOR = re.compile(
    rf"(>=|<=|==|!=|=|>|<|\^|~)? *({_NUMBER})(?:\.({_NUMBER})(?:\.({_NUMBER}(?:[-+][0-9A-Za-z.+-]+)?))?)?"
)
_COMPARE = {">=": ge, "<=": le, "==": eq, "!=": ne, ">": gt, "<": lt}
_KEPT = 4096


@lru_cache(maxsize=_KEPT)
def version(text: str) -> Version:
    """Read a version; ValueError if it is none."""
    return Version.parse(text)


class Constraint:
    """Comparators joined by commas, which must all hold: ``>= <= > < == != ^ ~`` and a version.

    What a version leaves out covers every number there: ``==1.2`` is ``>=1.2.0,<1.3.0``, and ``>1.2`` begins at
    1.3.0. ``^1.2`` is ``>=1.2.0,<2.0.0``, ``~1.2`` is ``>=1.2.0,<1.3.0``, both as Cargo has them. A pre-release is
    admitted only where a comparator names a pre-release of the same three numbers: ``<2`` leaves out 2.0.0-rc.1.
    The empty text, and ``*``, admit all.
    """

    def __init__(self, text: str) -> None:
        self._tests: list[tuple[str, Version, Version]] = []
        self._named: set[tuple[int, int, int]] = set()
        for part in () if text.strip() in ("", "*") else text.split(","):
            found = _COMPARATOR.fullmatch(part.strip())
            if found is None:
                raise ValueError(f"version constraint {text[:128]!r}: {part.strip()!r} is not like '>=1.2' or '^1.2.3'")
            op, major, minor, patch = found.groups()
            low = version(f"{major}.{minor or 0}.{patch or 0}")
            if low.prerelease:
                self._named.add((low.major, low.minor, low.patch))
            self._tests.append(_test(op or "==", low, given=sum(number is not None for number in (minor, patch)) + 1))

    def __contains__(self, found: Version) -> bool:
        if found.prerelease and self._tests and (found.major, found.minor, found.patch) not in self._named:
            return False
        return self.spans(found)

    def spans(self, found: Version) -> bool:
        """Say whether a version is in range by its precedence alone, by which ``<2`` holds 2.0.0-rc.1."""
        return all(_holds(op, low, past, found) for op, low, past in self._tests)


def _test(op: str, low: Version, *, given: int) -> tuple[str, Version, Version]:
    """Return the comparator as an operator, or a range, and the range's ends; ``given`` numbers were written."""
    if op == "^":
        fixed = 1 if low.major or given == 1 else 2 if low.minor or given == 2 else 3
        return "in", low, (low.bump_major, low.bump_minor, low.bump_patch)[fixed - 1]()
    past = low.bump_major() if given == 1 else low.bump_minor()
    if op == "~":
        return "in", low, past
    op = "==" if op == "=" else op
    if given == 3:
        return op, low, low
    match op:
        case "==":
            return "in", low, past
        case "!=":
            return "out", low, past
        case ">":
            return ">=", past, past
        case "<=":
            return "<", past, past
        case _:
            return op, low, low


def _holds(op: str, low: Version, past: Version, found: Version) -> bool:
    if op in ("in", "out"):
        return (low <= found < past) == (op == "in")
    return bool(_COMPARE[op](found, low))


@lru_cache(maxsize=_KEPT)
def constraint(text: str) -> Constraint:
    """Read a constraint; ValueError if it is none."""
    return Constraint(text)


class Verdicts(dict[str, Verdict]):
    """The verdict on each version that was ever asked about, worked out once."""

    def __init__(self, within: str, low: str | None, high: str | None, preferred: str | None) -> None:
        self._within = constraint(within)
        self._low, self._high = low and version(low), high and version(high)
        self._preferred = preferred and version(preferred)
        self.selective = bool(within or low or high or preferred)
        """Whether any version is judged otherwise than the others."""

    def __missing__(self, text: str) -> Verdict:
        found = version(text)
        verdict: Verdict = 1
        if found not in self._within or (self._low and found < self._low) or (self._high and found > self._high):
            verdict = 0
        elif self._preferred and found == self._preferred:
            verdict = 2
        if len(self) >= _KEPT:
            self.clear()
        self[text] = verdict
        return verdict


@lru_cache(maxsize=1024)
def verdicts(within: str, low: str | None, high: str | None, preferred: str | None) -> Verdicts:
    """Judge versions by a constraint, inclusive bounds by plain precedence, and a preference."""
    return Verdicts(within, low, high, preferred)
