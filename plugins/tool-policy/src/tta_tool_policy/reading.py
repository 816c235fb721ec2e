"""From a policy's text to its engine: every problem at once, with its line and its rule, and never half a policy."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec.structs import replace

from tta_kernel import ConfigError, Problem
from tta_program.files import parse, read_text
from tta_program.layers import Source
from tta_program.reader import Reader

from .engine import Engine
from .rules import Defaults, PolicyText

LARGEST = 2_000_000
"""How many bytes a policy may have."""
MOST_VALUES = 100_000
"""How many values a policy may have: each is looked at, and while that lasts little else is done."""
MOST_TOLD = 100
"""How many problems are told of one policy."""
Format = Literal["yaml", "json"]
END = "..."
_RULE = re.compile(r"^(deny|rules)\.(\d+)")
_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PolicyError(ConfigError):
    """A policy can't be used; ``problems`` lists all that is wrong with it, by file, line, rule and key."""


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the config says in place of a policy's own defaults; None is nothing."""

    network: bool | None = None
    filesystem: bool | None = None
    process: bool | None = None
    callables: tuple[str, ...] | None = None
    timeout: float | None = None
    concurrency: int | None = None
    cpu_percent: int | None = None
    memory: int | None = None

    def over(self, defaults: Defaults) -> Defaults:
        """Return the defaults with what is said here."""
        said = {key: value for key, value in msgspec.structs.asdict(self).items() if value is not None}
        return replace(defaults, **said)


def format_of(path: Path) -> Format:
    """Return the form in which a file is written, by its name."""
    return "json" if path.suffix == ".json" else "yaml"


def read_file(path: Path) -> str:
    """Return the text of a policy's file; raise a `PolicyError` that says why not."""
    hint = "plugins.tool-policy.config.file names it"
    try:
        if path.is_file() and path.stat().st_size > LARGEST:
            raise PolicyError(Problem(str(path), f"has more than {LARGEST:,} bytes", "split off what isn't used"))
        return read_text(path)
    except OSError as error:
        raise PolicyError(Problem(str(path), f"cannot be read: {error.strerror}", hint)) from None
    except ValueError as error:
        raise PolicyError(Problem(str(path), str(error), hint)) from None


def read_policy(text: str, where: str, format: Format = "yaml", overrides: Overrides | None = None) -> Engine:
    """Return the engine of a policy that is written so; raise a `PolicyError` with all that is wrong with it."""
    tree = _tree(text, where, format)
    reader = Reader(Source())
    found = reader.value(tree, PolicyText, "")
    if reader.problems:
        raise _placed(reader.problems, text, where, tree)
    found = replace(found, defaults=(overrides or Overrides()).over(found.defaults))
    engine = Engine(found, digest_of(found))
    if problems := [*(Problem(*flaw) for flaw in engine.flaws), *_twice(found)]:
        raise _placed(problems, text, where, tree)
    return engine


def empty_policy(overrides: Overrides | None = None) -> Engine:
    """Return the policy that is in force where none is configured: it has no rule, and so denies everything."""
    text = PolicyText(version=1, defaults=(overrides or Overrides()).over(Defaults()))
    return Engine(text, digest_of(text))


def digest_of(text: PolicyText) -> str:
    """Return what names exactly this policy, however it is written: comments and order of keys count for nothing."""
    return hashlib.sha256(msgspec.json.encode(text, order="deterministic")).hexdigest()[:16]


def _tree(text: str, where: str, format: Format) -> Any:
    if len(text) > LARGEST:
        raise PolicyError(Problem(where, f"has more than {LARGEST:,} characters", "split off what isn't used"))
    if not text.strip():
        # So looks a file that is just being written, or was cut.
        raise PolicyError(Problem(where, "is empty", "a policy that denies everything says `version: 1`"))
    if format == "json":
        tree = _json(text, where)
    else:
        try:
            tree = parse(text, where)
        except ConfigError as error:
            raise PolicyError(*error.problems) from None
        if text.rstrip().splitlines()[-1] != END:
            # Cut after any line, YAML is still YAML, and a rule that has lost its conditions is for everybody.
            what = f"doesn't end with a line {END}, so nobody knows whether it is whole"
            raise PolicyError(Problem(where, what, f"write {END} into its last line"))
    if _has_too_many(tree):
        raise PolicyError(Problem(where, f"has more than {MOST_VALUES:,} values", "split off what isn't used"))
    if not isinstance(tree, dict):
        raise PolicyError(Problem(where, "expected a mapping with `version`, `defaults`, `deny` and `rules`"))
    return tree


def _json(text: str, where: str) -> Any:
    def no_key_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("there is a key twice")
        return found

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=no_key_twice, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise PolicyError(Problem(f"{where}:{error.lineno}:{error.colno}", f"is no JSON: {error.msg}")) from None
    except (ValueError, RecursionError) as error:
        what = "lies too deep" if isinstance(error, RecursionError) else str(error)
        raise PolicyError(Problem(where, f"is no JSON: {what}")) from None


def _has_too_many(tree: Any) -> bool:
    found = 0
    left = [tree]
    while left:
        each = left.pop()
        if isinstance(each, dict | list):
            found += len(each)
            left += each.values() if isinstance(each, dict) else each
        if found > MOST_VALUES:
            return True
    return False


def _twice(text: PolicyText) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for section, rules in (("deny", text.deny), ("rules", text.rules)):
        for number, rule in enumerate(rules):
            where = f"{section}.{number}"
            if rule.id in seen:
                yield Problem(f"{where}.id", f"another rule has this id, under {seen[rule.id]}", "rename one of them")
            if rule.id == "default":
                yield Problem(f"{where}.id", "`default` is where no rule decides", "rename it")
            seen.setdefault(rule.id, section)


def _lines(text: str) -> Mapping[str, int]:
    """Return the line in which each key stands, by its path; as many as can be found."""
    found: dict[str, int] = {}

    def look(node: Any, path: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = f"{path}.{key.value}" if path else str(key.value)
                found[inner] = key.start_mark.line + 1
                look(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                found[f"{path}.{number}"] = value.start_mark.line + 1
                look(value, f"{path}.{number}")

    try:
        # JSON is YAML, but for its tabs.
        look(yaml.compose(text.replace("\t", " "), Loader=_SAFE), "")
    except (yaml.YAMLError, RecursionError):
        return {}
    return found


def _placed(problems: Sequence[Problem], text: str, where: str, tree: Mapping[str, Any]) -> PolicyError:
    """Return the error that tells problems, each with its file, its line, and the id of its rule."""
    lines = _lines(text)
    told = [replace(each, where=_place(each.where, where, tree, lines)) for each in problems[:MOST_TOLD]]
    if len(problems) > MOST_TOLD:
        told.append(Problem(where, f"there are {len(problems) - MOST_TOLD} problems more", "mend these first"))
    return PolicyError(*told)


def _place(key: str, where: str, tree: Mapping[str, Any], lines: Mapping[str, int]) -> str:
    line = 0
    path = key
    while path and not line:
        line = lines.get(path, 0)
        path = path.rpartition(".")[0]
    at = f"{where}:{line}" if line else where
    found = _RULE.match(key)
    if not found:
        return ": ".join(filter(None, (at, key)))
    return ": ".join(filter(None, (at, _rule_name(tree, found), key[found.end() :].lstrip("."))))


def _rule_name(tree: Mapping[str, Any], found: re.Match[str]) -> str:
    """Return how a rule is called for people: by its id, else by its number."""
    rules = tree.get(found[1])
    number = int(found[2])
    rule = rules[number] if isinstance(rules, list) and number < len(rules) else None
    id = rule.get("id") if isinstance(rule, dict) else None
    if isinstance(id, str) and id.isprintable() and len(id) <= 64:
        return f"rule {id}"
    return f"{found[1]}, rule {number + 1}"
