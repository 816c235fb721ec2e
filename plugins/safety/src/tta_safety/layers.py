"""Layers of rules, the built-in ones lowest: how each is read, and what they make when they lie over each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from tta_kernel import ConfigError, Problem, suggest
from tta_program.files import parse

from .model import CATEGORIES, Level, category
from .rules import LONGEST_PATTERN, MOST_RULES, Name, Rule, RuleSet, Short, TherapeuticContext

LARGEST = 4_000_000
"""How many characters a layer may have."""
_PART = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Half a character, written as JSON does, which no pattern can have."""
_DEEPEST = 8
"""How many parts may lie in each other."""
_LEVELS: tuple[Level, ...] = ("safe", "warning", "blocked")


class RulesError(ConfigError):
    """Rules can't be used; ``problems`` lists all that is wrong with them, by layer, rule and reason."""


class Layer(msgspec.Struct, frozen=True):
    """What one file, or another source, says; a rule that a lower layer has need only say what differs."""

    where: str
    rules: Mapping[str, Mapping[str, Any]]
    parts: Mapping[str, str] = {}
    guidelines: Mapping[str, tuple[str, ...]] = {}
    categories: tuple[str, ...] = ()
    """Those of its own, which its rules and those of layers above it may have beside `CATEGORIES`."""


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A layer as it is written."""

    version: Literal[1] = 1
    parts: dict[Name, str] = {}
    guidelines: dict[TherapeuticContext, tuple[Short, ...]] = {}
    categories: tuple[Name, ...] = ()
    rules: list[dict[str, Any]] = []


def read_layer(text: str, where: str) -> Layer:
    """Read a layer from YAML or JSON; raise a `RulesError` that names what is wrong, and never half of it."""
    if len(text) > LARGEST:
        raise RulesError(Problem(where, f"has more than {LARGEST:,} characters", "split it, or shorten it"))
    if not text.strip():
        # So looks a file that is being written, or was cut: its rules, floors among them, must not just vanish.
        hint = "where there are to be none, write `rules: []`, or take it away"
        raise RulesError(Problem(where, "is empty", hint))
    try:
        raw = _from_json(text) or parse(text, where)
    except ConfigError as error:
        raise RulesError(*error.problems) from None
    try:
        written = msgspec.convert({} if raw is None else raw, _Written)
    except msgspec.ValidationError as error:
        raise RulesError(
            Problem(where, _plain(error), "plugins/safety-rules/README.md says what a layer holds")
        ) from None
    rules: dict[str, dict[str, Any]] = {}
    problems = []
    for number, fields in enumerate(written.rules, 1):
        name = fields.get("id")
        if not isinstance(name, str) or not name:
            problems.append(Problem(f"{where}: rule {number}", "has no id", "give it one"))
        elif name in rules:
            problems.append(Problem(f"{where}: rule {name}", "is there twice", "rename one, or merge both"))
        else:
            rules[name] = fields
    if problems:
        raise RulesError(*problems)
    guidelines = {str(key): value for key, value in written.guidelines.items()}
    return Layer(where, rules, written.parts, guidelines, written.categories)


def _from_json(text: str) -> Any:
    """Return what a text of JSON says; None of others, which are YAML: that takes twenty times as long to read."""
    if not text.startswith("{") or _HALF.search(text):
        return None
    try:
        return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None


def _refused(constant: str) -> None:
    raise ValueError(constant)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def merged(layers: Sequence[Layer]) -> RuleSet:
    """Lay layers over each other, the last one uppermost; raise a `RulesError` with every problem.

    An upper layer's rule replaces those fields of a lower one's that it names.
    """
    found: dict[str, dict[str, Any]] = {}
    origin: dict[str, str] = {}
    parts: dict[str, str] = {}
    guidelines: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    categories = {*CATEGORIES, *(name for layer in layers for name in layer.categories)}
    told: set[str] = set()
    for layer in layers:
        guidelines |= layer.guidelines
        # Patterns are written out with the parts of their own layer and those below: no upper layer changes them.
        parts = {**parts, **layer.parts}
        for name, fields in layer.rules.items():
            where = f"{layer.where}: rule {name}"
            own, wrong = _written_out(fields, parts)
            below = found.get(name)
            if below is not None:
                wrong += ((what, _FLOOR) for what in _weakened(below, own))
            problems += (Problem(where, what, hint) for what, hint in wrong)
            if wrong:
                told.add(name)  # What follows from it needn't be told, too.
            found[name] = {**(below or {}), **own}
            origin[name] = where
    rules = []
    for name, fields in found.items():
        if name in told:
            continue
        rule = _converted(fields)
        if rule is None or rule.category not in categories:
            problems += (Problem(origin[name], what, hint) for what, hint in _mistakes(fields, categories))
            continue
        problems += (Problem(origin[name], what) for what in _contradictions(rule))
        rules.append(rule)
    if len(rules) > MOST_RULES:
        problems.append(Problem(layers[-1].where, f"makes {len(rules):,} rules of at most {MOST_RULES:,}"))
    if problems:
        raise RulesError(*problems)
    rules.sort(key=lambda rule: (-rule.priority, rule.id))
    return RuleSet(tuple(rules), guidelines, tuple(layer.where for layer in layers))


def _converted(fields: Mapping[str, Any]) -> Rule | None:
    """Return the rule that has these fields; None where one of them is wrong."""
    try:
        rule = msgspec.convert(fields, Rule)
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(rule, category=_known(rule.category))


_FLOOR = "leave it, and add a rule of your own beside it"
_MAY_CHANGE = {"id", "version", "priority", "alternative", "guidelines", "why", "match", "no_match"}
"""What an upper layer may say of a floor rule freely: nothing of it lets a text pass."""


def _weakened(below: Mapping[str, Any], above: Mapping[str, Any]) -> Iterable[str]:
    """Say what an upper layer may not do with a rule that is a floor."""
    if below.get("floor") is not True:
        return
    for field, value in above.items():
        old = below.get(field, _default(field))
        if field in _MAY_CHANGE or value == old:
            continue
        if field == "level" and value in _LEVELS and _LEVELS.index(value) > _LEVELS.index(old):
            continue
        if field in ("severity", "sensitivity") and isinstance(value, int | float) and value > old:
            continue
        if field in ("patterns", "channels") and isinstance(value, list | tuple) and {*old} <= {*value}:
            continue
        yield f"is a floor rule, whose {field} can't be weakened"


def _default(field: str) -> Any:
    for it in msgspec.structs.fields(Rule):
        if it.name == field:
            return None if it.required else it.default
    return None


def _written_out(fields: Mapping[str, Any], parts: Mapping[str, str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return a rule's fields with the parts in its patterns written out, and what is wrong with these."""
    own = dict(fields)
    wrong: list[tuple[str, str]] = []
    for field, called in (("patterns", "pattern"), ("unless", "exception")):
        patterns = own.get(field)
        if isinstance(patterns, str):
            patterns = [patterns]
        if not isinstance(patterns, list) or not all(isinstance(it, str) for it in patterns):
            continue
        own[field] = written = []
        for number, pattern in enumerate(patterns, 1):
            try:
                written.append(expand(pattern, parts))
            except ValueError as error:
                wrong.append((f"{called} {number} {error}", ""))
    return own, wrong


def expand(pattern: str, parts: Mapping[str, str]) -> str:
    """Write out the parts that a pattern names as ``{name}``; raise a ValueError that says why that can't be."""
    for _ in range(_DEEPEST):
        found = _PART.search(pattern)
        if not found:
            return pattern
        missing = [name for name in _PART.findall(pattern) if name not in parts]
        if missing:
            hint = suggest(missing[0], parts)
            raise ValueError(f"names the part {missing[0]!r}, which nobody defines" + (f"; {hint}" if hint else ""))
        pattern = _PART.sub(lambda it: f"(?:{parts[it[1]]})", pattern)
        if len(pattern) > LONGEST_PATTERN:
            raise ValueError(f"has more than {LONGEST_PATTERN:,} characters, with its parts written out")
    raise ValueError("names parts that name each other without end")


def _known(name: str) -> str:
    """Return the category that a name is another one for, or a layer's own."""
    try:
        return category(name)
    except ValueError:
        return name


def _mistakes(fields: Mapping[str, Any], categories: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Say all that is wrong with the fields of a rule, each by itself, with a hint."""
    known = {it.encode_name: it for it in msgspec.structs.fields(Rule)}
    for name, field in known.items():
        if field.required and name not in fields:
            yield f"has no {name}", "give it one"
    for name, value in fields.items():
        if name not in known:
            yield f"has the unknown field {str(name)[:80]}", suggest(str(name), known)
            continue
        try:
            right = msgspec.convert(value, known[name].type)
        except msgspec.ValidationError as error:
            yield _plain(error, name), ""
            continue
        if name == "category" and _known(right) not in categories:
            what = f"has the category {right!r}, which nobody defines: list it under `categories` if it is your own"
            yield what, suggest(right, categories)


def _contradictions(rule: Rule) -> Iterable[str]:
    looks_at_sentiment = rule.validation == "sentiment"
    if looks_at_sentiment and rule.patterns:
        yield "looks at the sentiment, and has patterns all the same"
    if rule.enabled and not looks_at_sentiment and not rule.patterns:
        yield "has no patterns"
    if rule.floor and (rule.shadow or not rule.enabled):
        yield "is a floor rule, and must not be switched off or a shadow"


def _plain(error: msgspec.ValidationError, field: str = "") -> str:
    """Return what msgspec says without the words that only a programmer knows, and without a value."""
    what, _, at = str(error).partition(" - at `$")
    where = f"{field}{at.strip('`')}".lstrip(".")
    if what.startswith("Invalid") or "matching regex" in what:
        what = "isn't allowed"
    what = what.replace("`", "").lower().replace("object", "mapping").replace("array", "list")
    return f"{where}: {what}" if where else what
