"""Raw values against a Struct: durations, sizes, secrets, and every problem, not just the first."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import fields

from .errors import ConfigError, Problem

Duration = Annotated[float, Meta(extra={"unit": "seconds"})]
Size = Annotated[int, Meta(extra={"unit": "bytes"})]
Secret = Annotated[str, Meta(extra={"secret": True})]
Section = Annotated[dict[str, Any], Meta(extra={"raw": True})]
"""A mapping that is left as it is, for somebody else to read."""

REDACTED = "<redacted>"
BAD: Any = object()
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_UNITS: dict[Any, tuple[Mapping[str, float], str]] = {
    "seconds": (_SECONDS, "a duration such as '30s', '500ms', '2m', '1h', '1d' or a number"),
    "bytes": (_BYTES, "a size such as '4GB' (10**9), '4GiB' (2**30), '512kB' or a whole number"),
}
_SENSITIVE = r"(?i)passw|passphrase|secret|token|credential|dsn|authorization|keys?(?![a-z])"


class Text(str):
    """What an environment variable says: YAML, unless the field turns out to be a string."""

    __slots__ = ()


class Source(Struct, frozen=True):
    """Where settings came from: ``layers`` are names with what each says, the uppermost last."""

    environment: str = ""
    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    layers: Sequence[tuple[str, Any]] = ()

    def layer(self, path: str, *, exact: bool = False) -> str:
        """Name the uppermost layer that says something of ``path``, else of the section that it lies in."""
        while path:
            for name, found in reversed(self.layers):
                for key in path.split("."):
                    found = found.get(key, BAD) if isinstance(found, Mapping) else BAD
                if found is not BAD:
                    return str(name)
            path = "" if exact else path.rpartition(".")[0]
        return ""

    def __repr__(self) -> str:  # without the environment, which holds secrets
        return f"Source({self.environment!r}, {self.folder!r})"


def suggest(word: str, known: Collection[str]) -> str:
    """Return the known word that was meant, or else all of them."""
    from difflib import get_close_matches

    if close := get_close_matches(word, known, 1):
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(known)) or 'none'}"


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
            keys = [str(key.value) for key, _ in node.value]
            if twice := [n for n, key in enumerate(keys) if key in keys[:n]]:
                what = f"the key {keys[twice[0]]!r} is there twice"
                raise yaml.MarkedYAMLError(problem=what, problem_mark=node.value[twice[0]][0].start_mark)
            return super().construct_mapping(node, deep)

    mark: Any = None
    try:
        for event in yaml.parse(text, Loader=safe):
            if isinstance(event, yaml.AliasEvent):  # Ten of them unfold to gigabytes.
                mark = event.start_mark
                raise yaml.MarkedYAMLError(problem="aliases are refused", problem_mark=mark)
        return yaml.load(text, Loader=Loader)  # noqa: S506  # it is a safe one
    except yaml.YAMLError as error:
        mark, what = getattr(error, "problem_mark", None), getattr(error, "problem", "odd characters")
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
    bare, extra = _unwrap(type_)
    return "secret" in extra or any(map(holds_secret, get_args(bare)))


def mask(text: str) -> str:
    # Up to the last @: a password may hold one, and hiding too much does no harm.
    return re.sub(r"://[^\s\"']*@", f"://{REDACTED}@", text)


def _unwrap(type_: Any) -> tuple[Any, dict[str, Any]]:
    """Return a type without its annotations and without None, and what `Meta` has under ``extra``."""
    extra: dict[str, Any] = {}
    if get_origin(type_) is Annotated:
        type_, *metas = get_args(type_)
        for meta in metas:
            extra |= getattr(meta, "extra", None) or {}
    members = [it for it in get_args(type_) if it is not NoneType]
    if get_origin(type_) in (Union, UnionType) and len(members) == 1:
        type_, more = _unwrap(members[0])
        extra |= more
    return type_, extra


class Reader:
    """Reads raw values as the types that Structs declare, and collects every problem; it quotes no value.

    Without ``reveal`` a secret that lies in a file or a variable is left there.
    """

    def __init__(self, source: Source, problems: list[Problem], *, reveal: bool = True) -> None:
        self.source, self.problems, self._reveal = source, problems, reveal
        self._secrets: list[str] = []

    def report(self, path: str, what: str, hint: str = "", *, deployment_only: bool = False) -> Any:
        where = ": ".join(filter(None, (self.source.layer(path), path)))
        self.problems.append(Problem(where, what, hint, deployment_only))
        return BAD

    def fields(self, raw: Any, cls: type[Struct], path: str) -> dict[str, Any]:
        """Return the good fields by name; what is missing, wrong or unknown is a problem."""
        if not isinstance(raw, Mapping):
            self._convert(raw, dict, path)
            return {}
        known = {it.encode_name: it for it in fields(cls)}
        above, good = f"{path}." if path else "", {}
        for key in raw if cls.__struct_config__.forbid_unknown_fields else ():
            if key not in known:
                self.report(f"{above}{key}", "unknown key", suggest(str(key), known))
        for name, it in known.items():
            if name in raw:
                good[it.name] = self.value(raw[name], it.type, above + name)
            elif it.required:
                self.report(above + name, "is missing", "it has no default: set it")
        return {name: value for name, value in good.items() if value is not BAD}

    def value(self, raw: Any, type_: Any, path: str) -> Any:
        """Return what ``raw`` means as a ``type_``; report whatever keeps it from that."""
        bare, extra = _unwrap(type_)
        plain = get_origin(bare) in (Union, UnionType, Literal)
        args = (Any, Any) if bare is Any else () if plain else get_args(bare)
        if "raw" in extra:
            return {} if raw is None else self._convert(raw, dict, path)
        if isinstance(raw, Text):
            try:
                raw = str(raw) if bare is str else parse(str(raw), self.source.layer(path))
            except ConfigError as error:
                self.problems += error.problems
                return BAD
        if "secret" in extra and isinstance(raw, Mapping):
            raw = self._reference(raw, path)
        if raw is BAD:
            return BAD
        if isinstance(raw, str) and ("secret" in extra or looks_secret(path.partition(".config.")[2])):
            self._secrets.append(raw)
        if isinstance(bare, type) and issubclass(bare, Struct) and raw is not None:
            return self._struct(raw, bare, path)
        if isinstance(raw, Mapping) and len(args) == 2:
            raw = {key: self.value(it, args[1], f"{path}.{key}") for key, it in raw.items()}
            if BAD in raw.values():
                return BAD
        elif isinstance(raw, list) and args:
            kinds = args if get_origin(bare) is tuple and ... not in args else args[:1] * len(raw)
            raw = [self.value(it, kind, f"{path}.{n}") for n, (it, kind) in enumerate(zip(raw, kinds, strict=False))]
            if BAD in raw:
                return BAD
        elif "unit" in extra and raw is not None:
            units, expected = _UNITS[extra["unit"]]
            match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?(\w+)", str(raw))
            if match and match[2] in units:
                raw = round(float(match[1]) * units[match[2]], 9 if bare is float else None)
            if isinstance(raw, bool) or not isinstance(raw, int | float) or not raw >= 0:
                return self.report(path, f"expected {expected}")
        return self._convert(raw, type_, path)

    def _convert(self, raw: Any, type_: Any, path: str) -> Any:
        try:
            return convert(raw, type_)
        except ValidationError as error:
            what = str(error).partition(" - at ")[0]
        bare, _ = _unwrap(type_)
        if get_origin(bare) is Literal:
            what = f"expected one of {', '.join(map(repr, get_args(bare)))}"
        elif not what.startswith(("Expected", "Object")):
            what = "is not allowed"  # msgspec would quote it
        for word, plain in (("`object`", "a mapping"), ("`array`", "a list"), ("`", "")):
            what = what.replace(word, plain)
        hint = "put it in quotes" if bare is str and isinstance(raw, int | float | date) else ""
        return self.report(path, what[0].lower() + what[1:], hint)

    def _reference(self, raw: Mapping[Any, Any], path: str) -> Any:
        kind, name = next(iter(raw.items()), ("", ""))
        if len(raw) != 1 or kind not in ("file", "env") or not (name and isinstance(name, str)):
            return self.report(path, "expected text, {file: PATH} or {env: NAME}, got a mapping")
        if not self._reveal:
            return REDACTED
        found, why = self.source.environ.get(name, ""), "is empty, or not set"
        if kind == "file":
            try:
                found = read_text((self.source.folder or Path()) / name).removesuffix("\n")
            except ValueError as error:
                why = str(error)
        what, hint = f"the secret's {kind} {name!r} {why}", "put the secret there"
        return found or self.report(path, what, hint, deployment_only=True)

    def _struct(self, raw: Any, cls: type[Struct], path: str) -> Any:
        start = len(self.problems)
        values = self.fields(raw, cls, path)
        if len(self.problems) > start:
            return BAD
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:  # as msgspec does around __post_init__
            what = mask(str(error))
        # A part of a secret, such as the port that urlsplit sees in a password, is one, too.
        words = [word for word in re.findall(r"[^\s'\"]+", what) if len(word) > 2]
        if any(it in what or repr(it) in what or any(word in it for word in words) for it in self._secrets if it):
            what = f"{cls.__name__} refuses its values, and what it says of them may hold a secret"
        return self.report(path, what, deployment_only=REDACTED in self._secrets)
