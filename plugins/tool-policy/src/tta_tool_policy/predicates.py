"""What rules ask of a call, each as a test that holds, fails, or can't be decided.

Undecided is what keeps a value of an unforeseen kind from slipping past a rule: a rule that allows doesn't hold then,
and one that denies or asks denies.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from tta_capabilities.versions import constraint, version
from tta_sessions import Flags

from .model import ToolCall
from .rules import Argument, Scalar, SessionIs

Held = bool | None
"""None is undecided."""
_NOTHING: Any = object()
"""Stands for an argument that isn't there."""
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip
_TOOL = re.compile(r"[A-Za-z0-9_.*-]+")
_SHORT_RANGE = re.compile(r"(\d+(?:\.\d+)?)\.\*")


class Condition(NamedTuple):
    """One thing that a rule asks: ``what`` names it for people, and quotes no value of a call."""

    what: str
    holds: Callable[[ToolCall], Held]


def for_tools(patterns: Sequence[str], *, strict: bool) -> Condition:
    """Ask for a tool's name and version; raise a ValueError for a pattern that is none.

    A ``strict`` rule, one that denies or asks, is also for the pre-releases of each version in its range, and for
    those that come before its end: else a tool would slip past ``1.*`` as 1.2.0-rc.1, and past ``<2`` as 2.0.0-rc.1.
    """
    asked = [_tool(pattern, strict=strict) for pattern in patterns]

    def holds(call: ToolCall) -> Held:
        return any(named(call.tool) and versioned(call.version) for named, versioned in asked)

    return Condition(f"tool is {_or(patterns)}", holds)


def names_tool(patterns: Sequence[str], tool: str) -> bool:
    """Say whether a tool's name fits, whatever its version."""
    return any(named(tool) for named, _ in (_tool(pattern, strict=False) for pattern in patterns))


def one_of(what: str, attribute: str, patterns: Sequence[str]) -> Condition:
    """Ask for a text of the call's, such as its agent; ``*`` is any, and not none."""
    fits = _named(patterns)
    read = attrgetter(attribute)
    return Condition(f"{what} is {_or(patterns)}", lambda call: bool(read(call)) and fits(read(call)))


def some_of(what: str, attribute: str, patterns: Sequence[str]) -> Condition:
    """Ask for a list of texts of the call's, such as its principal's roles: one must fit."""
    fits = _named(patterns)
    read = attrgetter(attribute)
    return Condition(f"{what} {_or(patterns)}", lambda call: any(map(fits, read(call))))


def granted(flags: Iterable[str], *, otherwise: Held = False) -> Condition:
    """Ask that a tool has none but these safety flags."""
    known = frozenset(flags)
    what = f"no safety flag but {_or(sorted(known))}" if known else "no safety flag"
    return Condition(what, lambda call: known.issuperset(call.flags) or otherwise)


def for_argument(path: str, wanted: Argument) -> Condition:
    """Ask for an argument, which may lie in others (``options.depth``); raise a ValueError for what can't be asked."""
    tests = [*_of_value(wanted)]
    missing = {"holds": True, "fails": False, None: None}[wanted.missing]
    parts = path.split(".")

    def holds(call: ToolCall) -> Held:
        value: Any = call.arguments
        for part in parts:
            if type(value) is not dict:
                return None
            value = value.get(part, _NOTHING)
            if value is _NOTHING:
                return missing
        return all_of(test(value) for test in tests)

    return Condition(f"argument {path}", holds)


def for_session(wanted: SessionIs) -> Condition:
    """Ask for flags of the session; undecided where they couldn't be read."""
    tests: list[Callable[[Flags], bool]] = []
    if wanted.paused is not None:
        tests.append(lambda flags: flags.paused is wanted.paused)
    if wanted.contact is not None:
        tests.append(lambda flags: flags.consent.contact is wanted.contact)
    if wanted.data is not None:
        tests.append(lambda flags: flags.consent.data is wanted.data)
    if wanted.age_band is not None:
        bands = frozenset(wanted.age_band)
        tests.append(lambda flags: flags.age_band in bands)
    for attribute in ("locale", "country"):
        patterns = getattr(wanted, attribute)
        if patterns is not None:
            tests.append(_session_text(attribute, patterns))

    def holds(call: ToolCall) -> Held:
        flags = call.session_flags
        return None if flags is None else all(test(flags) for test in tests)

    return Condition("session is as asked", holds)


def _session_text(attribute: str, patterns: Sequence[str]) -> Callable[[Flags], bool]:
    fits = _named(patterns)
    read = attrgetter(attribute)
    return lambda flags: fits(read(flags))


def _tool(pattern: str, *, strict: bool) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    name, _, versions = pattern.partition(":")
    if not _TOOL.fullmatch(name):
        raise ValueError(f"{pattern!a} is no pattern of tools, such as 'math.add', 'kg.*' or 'kg.query:1.*'")
    return _named([name]), _versioned(versions.strip(), strict=strict)


def _versioned(text: str, *, strict: bool) -> Callable[[str], bool]:
    if text in ("", "*"):
        return lambda found: True
    short = _SHORT_RANGE.fullmatch(text)
    within = constraint(f"=={short[1]}" if short else text)

    def holds(found: str) -> bool:
        parsed = version(found)
        return parsed in within or (strict and (within.spans(parsed) or parsed.finalize_version() in within))

    return holds


def _named(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return what says whether a text is one of these, in which ``*`` stands for any characters."""
    exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
    wild = [_wild(pattern) for pattern in patterns if "*" in pattern]
    if not wild:
        return exact.__contains__
    if any(not pattern.strip("*") for pattern in patterns):
        return lambda text: True
    return lambda text: text in exact or any(each.fullmatch(text) for each in wild)


def _wild(pattern: str) -> re.Pattern[str]:
    first, *middle, last = map(re.escape, pattern.split("*"))
    # Each part where it stands first, and for good: else names of whoever calls could cost time without end.
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + ".*" + last, re.DOTALL)


def _of_value(wanted: Argument) -> Iterable[Callable[[Any], Held]]:
    if wanted.type is not None:
        yield _typed(wanted.type)
    if wanted.in_ is not None:
        yield _listed(wanted.in_, inside=True)
    if wanted.not_in is not None:
        yield _listed(wanted.not_in, inside=False)
    if wanted.minimum is not None or wanted.maximum is not None:
        yield _between(wanted.minimum, wanted.maximum)
    if wanted.min_length is not None or wanted.max_length is not None:
        yield _long(wanted.min_length or 0, wanted.max_length)
    if wanted.pattern is not None:
        yield _matching(wanted.pattern)
    if wanted.under is not None:
        yield _under(wanted.under)


def _typed(kind: str) -> Callable[[Any], Held]:
    kinds = _KINDS[kind]

    def holds(value: Any) -> Held:
        if type(value) in kinds:
            return True if is_plain(value) else None
        # To a schema 100.0 is an integer, and to the tool 100: a rule that denies integers is for it, too.
        return None if kind == "integer" and type(value) is float and value.is_integer() else False

    return holds


def _listed(values: Sequence[Scalar], *, inside: bool) -> Callable[[Any], Held]:
    # By kind: in Python True is 1, and 1 is 1.0.
    by_kind: dict[Any, set[Scalar]] = {}
    for each in values:
        by_kind.setdefault(_kind(each), set()).add(each)
    if not all(map(is_plain, values)):
        raise ValueError("lists a number that isn't finite, or text that isn't in Unicode's normal form (NFKC)")

    def holds(value: Any) -> Held:
        known = by_kind.get(_kind(value))
        if known is None or not is_plain(value):
            return None
        return (value in known) is inside

    return holds


def _between(low: float | None, high: float | None) -> Callable[[Any], Held]:
    if not all(map(is_plain, (low, high))):
        raise ValueError("a minimum and a maximum are finite numbers")
    least = -math.inf if low is None else low
    most = math.inf if high is None else high

    def holds(value: Any) -> Held:
        if type(value) is not int and (type(value) is not float or not math.isfinite(value)):
            return None
        return least <= value <= most

    return holds


def _long(low: int, high: int | None) -> Callable[[Any], Held]:
    most = math.inf if high is None else high

    def holds(value: Any) -> Held:
        if type(value) not in (str, list, dict):
            return None
        return low <= len(value) <= most

    return holds


def _matching(pattern: str) -> Callable[[Any], Held]:
    # Only a policy with a pattern needs it, which then takes linear time, whatever stands there.
    import re2  # type: ignore[import-untyped]

    quiet = re2.Options()
    quiet.log_errors = False
    try:
        compiled = re2.compile(pattern, quiet)
    except re2.error as error:
        told = error.args[0] if error.args else b""
        what = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        raise ValueError(f"its pattern can't be read: {what[:100]}") from None

    def holds(value: Any) -> Held:
        if type(value) is not str or not is_plain(value):
            return None
        return compiled.fullmatch(value) is not None

    return holds


def _under(folder: str) -> Callable[[Any], Held]:
    wanted = [part for part in folder.split("/") if part not in ("", ".")]
    if folder.startswith("/") or ".." in wanted or "\\" in folder:
        raise ValueError("`under` is a relative folder, such as 'stories/', without '..'")

    def holds(value: Any) -> Held:
        if type(value) is not str or not is_plain(value):
            return None
        parts = value.split("/")
        if value.startswith(("/", "~")) or "\\" in value or "\0" in value or ".." in parts:
            return None
        inner = [part for part in parts if part not in ("", ".")]
        return inner[: len(wanted)] == wanted and len(inner) > len(wanted)

    return holds


def _kind(value: Any) -> Any:
    kind = type(value)
    return "number" if kind in (int, float) else kind


def is_plain(value: Any) -> bool:
    """Say whether a scalar means to everybody what it means here: finite, and text in Unicode's normal form (NFKC)."""
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is not str or value.isascii():
        return True
    # Else "rm" in wide letters would be another word to a rule, and the same to whoever normalizes it later.
    return not any("\ud800" <= char <= "\udfff" for char in value) and unicodedata.is_normalized("NFKC", value)


def all_of(found: Iterable[Held]) -> Held:
    """Say whether all hold; one that fails decides, whatever can't be decided beside it."""
    undecided = False
    for each in found:
        if each is False:
            return False
        undecided = undecided or each is None
    return None if undecided else True


def _or(words: Sequence[str]) -> str:
    shown = ", ".join(words[:5])
    return f"{shown}, …" if len(words) > 5 else shown
