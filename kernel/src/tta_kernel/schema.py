"""Raw values against a Struct: durations, sizes, secrets, and every problem, not just the first."""

from __future__ import annotations

import os
import re
from collections import abc
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import fields

from .errors import ConfigError, Problem

Duration = Annotated[float, Meta(extra={"unit": "seconds"})]
Size = Annotated[int, Meta(extra={"unit": "bytes"})]
Secret = Annotated[str, Meta(extra={"secret": True})]

REDACTED = "<redacted>"
BAD: Any = object()
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_UNITS: dict[str | None, tuple[Mapping[str, float], str]] = {
    "seconds": (_SECONDS, "a duration such as '30s', '500ms', '2m', '1h', '1d' or a number"),
    "bytes": (_BYTES, "a size such as '4GB' (10**9), '4GiB' (2**30), '512kB' or a whole number"),
}
_UNIONS = (Union, UnionType)
_LISTS = {list, tuple, set, frozenset, abc.Sequence, abc.Collection, abc.Set}
_SENSITIVE = r"(?i)passw|passphrase|secret|token|credential|dsn|authorization|keys?(?![a-z])"


class Text(str):
    """What an environment variable says: YAML, unless the field turns out to be a string."""

    __slots__ = ()


class Source(Struct, frozen=True):
    """Where settings came from; in ``layers``, the path of a section ends in a dot."""

    environment: str = ""
    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    layers: Mapping[str, str] = {}

    def layer(self, path: str, *, sections: bool = True) -> str:
        while path:
            if found := self.layers.get(path) or (sections and self.layers.get(path + ".")):
                return found
            path = path.rpartition(".")[0]
        return ""

    def __repr__(self) -> str:  # without the environment, which holds secrets
        return f"Source({self.environment!r}, {self.folder!r})"


def suggest(word: str, known: Collection[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, 1)
    there = f"known: {', '.join(sorted(known)) or 'none'}"
    return f"did you mean {close[0]!r}?" if close else there


def read_text(path: Path) -> str:
    """Read a UTF-8 file; raise a ValueError that says why not."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("cannot be read: it is not UTF-8") from None


def parse(text: str, where: str) -> Any:
    """Read YAML of plain data, no key twice, no alias; the `ConfigError` quotes no value."""
    import yaml

    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(safe):  # type: ignore[misc]  # one of two, as PyYAML was built
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value:
                if (name := f"{key.tag} {key.value}") in seen:
                    what = f"the key {key.value!r} is there twice"
                    raise yaml.MarkedYAMLError(None, None, what, key.start_mark)
                seen.add(name)
            return super().construct_mapping(node, deep)

    mark, depth, events = None, 0, cast(Any, yaml.parse(text, Loader=safe))
    try:
        for event in events:
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > 64 or getattr(event, "anchor", None):
                # Deep nesting overflows the C loader's stack; ten aliases unfold to gigabytes.
                what = "it is nested too deeply" if depth > 64 else "anchors, aliases are refused"
                raise yaml.MarkedYAMLError(None, None, what, event.start_mark)
        return yaml.load(text, Loader=Loader)  # noqa: S506  # it is a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", "odd characters")
        if "constructor for the tag" in what:  # not quoted: a password may begin with !
            what = "tags are refused, and nothing makes Python objects"
    except (ValueError, TypeError, LookupError, AttributeError):  # PyYAML, on the 31st of February
        what = "there is no such number or date"
    at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    hint = "a text that begins with & * ! or looks like a date needs quotes"
    raise ConfigError(Problem(where + at, f"cannot be read as YAML: {what}", hint))


def looks_secret(key: str) -> bool:
    return bool(re.search(_SENSITIVE, key))


def holds_secret(type_: Any) -> bool:
    """Whether a value of the type may be secret, other than through a Struct's own fields."""
    bare, _, extra = _unwrap(type_)
    return "secret" in extra or any(map(holds_secret, get_args(bare)))


def mask(text: str) -> str:
    # Up to the last @: a password may hold one, and hiding too much does no harm.
    return re.sub(r"://[^\s\"']*@", f"://{REDACTED}@", text)


def _unwrap(type_: Any) -> tuple[Any, list[Meta], dict[str, Any]]:
    """Split a type into what it is, but for None, and what `Meta` says of it."""
    bare, *rest = get_args(type_) if get_origin(type_) is Annotated else (type_,)
    metas = [meta for meta in rest if isinstance(meta, Meta)]
    args = [it for it in get_args(bare) if it is not NoneType]
    if get_origin(bare) in _UNIONS and len(args) == 1:
        bare, more, _ = _unwrap(args[0])
        metas += more
    return bare, metas, {key: it for meta in metas for key, it in (meta.extra or {}).items()}


def _got(raw: Any, *, hidden: bool) -> str:
    kind = {dict: "a mapping", list: "a list", NoneType: "null"}.get(type(raw), "")
    text = "" if kind or hidden else " " + mask(repr(raw))
    return (kind or type(raw).__name__) + (text if len(text) <= 60 else text[:57] + "...")


class Reader(Struct):
    """Reads raw values as the types that Structs declare, and collects every problem."""

    source: Source
    problems: list[Problem] = []
    final: bool = True  # otherwise secrets stay where they lie, and what is `Any` as it is
    secrets: list[str] = []

    def report(self, path: str, what: str, hint: str = "", *, deployment_only: bool = False) -> Any:
        where = f"{self.source.layer(path)}: {path}".removeprefix(": ")
        self.problems.append(Problem(where, what, hint, deployment_only))
        return BAD

    def fields(self, raw: Any, cls: Any, path: str, skip: Collection[str] = ()) -> dict[str, Any]:
        """Return the good fields by name; what is missing, wrong or unknown is a problem."""
        if not isinstance(raw, Mapping):
            got = _got(raw, hidden=looks_secret(path.partition(".config.")[2]))
            self.report(path, f"expected a mapping, got {got}")
            return {}
        rules, good, above = cls.__struct_config__, {}, f"{path}." if path else ""
        known = {it.encode_name: it for it in fields(cls) if it.name not in skip}
        for key in raw if rules.forbid_unknown_fields else ():
            if key not in known and (key != rules.tag_field or raw[key] != rules.tag):
                self.report(f"{above}{key}", "unknown key", suggest(str(key), known))
        for name, it in known.items():
            if name in raw:
                good[it.name] = self.value(raw[name], it.type, above + name)
            elif it.required:
                self.report(above + name, "is missing", "it has no default: set it")
        return {name: value for name, value in good.items() if value is not BAD}

    def value(self, raw: Any, type_: Any, path: str, *, hidden: bool = False) -> Any:
        """Return what ``raw`` means as a ``type_``; report whatever keeps it from that."""
        bare, metas, extra = _unwrap(type_)
        origin, args = get_origin(bare) or bare, get_args(bare)
        hidden = hidden or holds_secret(type_) or looks_secret(path.partition(".config.")[2])
        if bare is Any and not self.final:
            return raw
        if "secret" in extra and isinstance(raw, Mapping):
            raw = self._reference(raw, path)
        if isinstance(raw, Text):
            try:
                text = str(raw)  # PyYAML reads no subclass
                raw = text if bare is str else parse(text, self.source.layer(path))
            except ConfigError as error:
                self.problems += error.problems
                raw = BAD
        if raw is BAD or raw is REDACTED:
            return raw
        if hidden and raw and isinstance(raw, str):
            self.secrets += raw, repr(raw)
        for member in args if origin in _UNIONS else [bare]:
            rules = getattr(member, "__struct_config__", None)
            tagged = rules and isinstance(raw, Mapping) and raw.get(rules.tag_field) == rules.tag
            if rules and raw is not None and not rules.array_like and (tagged or member is bare):
                return self._struct(raw, member, path)
        got = _got(raw, hidden=hidden)
        if isinstance(raw, Mapping) and origin in (Any, object, dict, abc.Mapping):
            keys, kind = args or (Any, Any)
            raw = {k: self.value(v, kind, f"{path}.{k}", hidden=hidden) for k, v in raw.items()}
            if BAD in raw.values():
                return BAD
            bare = cast(Any, dict)[keys, Any]
        elif isinstance(raw, list) and origin in _LISTS and args:
            kinds = args if origin is tuple and ... not in args else args[:1] * len(raw)
            pairs = enumerate(zip(raw, kinds, strict=False))
            found = [self.value(it, kind, f"{path}.{n}", hidden=hidden) for n, (it, kind) in pairs]
            if BAD in found:
                return BAD
            if len(kinds) == len(raw):
                raw, bare = found, tuple[Any, ...] if origin is tuple else origin[Any]
        units, expected = _UNITS.get(extra.get("unit"), ({}, ""))
        if units:
            match = re.fullmatch(r"(-?\d{1,15}(?:\.\d{1,9})?) ?(\w+)", str(raw))
            if match and match[2] in units:
                raw = round(float(match[1]) * units[match[2]], 9 if bare is float else None)
            if all(meta.ge is None and meta.gt is None for meta in metas):
                metas = [*metas, Meta(ge=0)]
        try:
            # The values of a mapping are done by now; its keys may be a variable's, and so text.
            if metas and raw is not None:
                bare = cast(Any, Annotated)[(bare, *metas)]
            return convert(raw, type_ if raw is None else bare, strict=not isinstance(raw, Mapping))
        except ValidationError as error:
            what, _, at = str(error).partition(" - at ")
        if origin is Literal:
            what = f"Expected one of {', '.join(map(repr, args))}"
        elif expected and ", got" in what:
            what = f"Expected {expected}"
        elif (hidden or isinstance(raw, Mapping | list)) and what[:6] not in ("Expect", "Object"):
            what = "Holds what is not allowed"  # msgspec, or a __post_init__, would quote it
        what = f"{what}, at {at}" if at else f"{what.partition(', got')[0]}, got {got}"
        for word, plain in (("`object`", "a mapping"), ("`array`", "a list"), ("`", "")):
            what = what.replace(word, plain)
        hint = "put it in quotes" if bare is str and isinstance(raw, int | float | date) else ""
        return self.report(path, what[0].lower() + what[1:], hint)

    def _reference(self, raw: Mapping[Any, Any], path: str) -> Any:
        kind, name = next(iter(raw.items()), ("", ""))
        if len(raw) != 1 or kind not in ("file", "env") or not (name and isinstance(name, str)):
            return self.report(path, "expected text, {file: PATH} or {env: NAME}, got a mapping")
        if not self.final:
            return REDACTED
        found, why = self.source.environ.get(name, ""), "is empty, or not set"
        if kind == "file":
            try:
                found = read_text((self.source.folder or Path()) / name).removesuffix("\n")
            except ValueError as error:
                found, why = "", str(error)
        what, hint = f"the secret's {kind} {name!r} {why}", "put the secret there"
        return found or self.report(path, what, hint, deployment_only=True)

    def _struct(self, raw: Any, cls: Any, path: str) -> Any:
        start = len(self.problems)
        values = self.fields(raw, cls, path)
        if len(self.problems) > start:
            return BAD

        def hide(word: re.Match[str]) -> str:
            # A part of a secret, such as the port that urlsplit sees in a password, is one, too.
            it = word[0]
            secret = any(one in it or (len(it) > 2 and it in one) for one in self.secrets)
            return REDACTED if secret else it

        try:
            return cls(**values)
        except (ValueError, TypeError) as error:  # as msgspec does around __post_init__
            return self.report(path, re.sub(r"[^\s'\"]+", hide, str(error)))
