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
from .files import parse, read_text

Duration = Annotated[float, Meta(extra={"unit": "seconds"})]
Size = Annotated[int, Meta(extra={"unit": "bytes"})]
Secret = Annotated[str, Meta(extra={"secret": True})]
Section = Annotated[dict[str, Any], Meta(extra={"raw": True})]
"""A mapping that is left as it is, for somebody else to read."""

REDACTED = "<redacted>"
BAD: Any = object()
_BYTES = {"B": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_UNITS: dict[str, Mapping[str, float]] = {"seconds": _SECONDS, "bytes": _BYTES}
_EXAMPLES = {
    "seconds": "a duration such as '30s', '500ms', '2m', '1h', '1d' or a number",
    "bytes": "a size such as '4GB' (10**9), '4GiB' (2**30), '512kB' or a whole number",
}
_SENSITIVE = r"(?i)passw|passphrase|secret|token|credential|dsn|authorization|keys?(?![a-z])"
_PLAIN = {"`object`": "a mapping", "`array`": "a list", "`bool`": "true or false", "`": ""}


class Text(str):
    """What an environment variable says: YAML, unless the field turns out to be a string."""

    __slots__ = ()


class Source(Struct, frozen=True):
    """Where settings came from: ``layers`` are names with what each says, the uppermost last."""

    environment: str = ""
    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    layers: Sequence[tuple[str, Any]] = ()
    secrets: set[str] = field(default_factory=set)
    """What no log may show, as far as it has been read."""

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

    def __str__(self) -> str:
        return f"{self.folder or 'no folder'}, environment {self.environment!r}"


def close(word: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that was probably meant."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, 1, cutoff)), None)


def suggest(word: str, known: Collection[str]) -> str:
    """Return the known word that was meant, or else all of them."""
    meant = close(word, known)
    return f"did you mean {meant!r}?" if meant else f"known: {', '.join(sorted(known)) or 'none'}"


def looks_secret(key: str) -> bool:
    return bool(re.search(_SENSITIVE, key))


def mask(text: str) -> str:
    # Up to the last @: a password may hold one, and hiding too much does no harm.
    return re.sub(r"://[^\s\"']*@", f"://{REDACTED}@", text)


def written(value: Any, type_: Any) -> Any:
    """Return a duration or a size as a person writes it, and anything else as it is."""
    units = _UNITS.get(unwrap(type_)[1].get("unit", ""), {})
    number = isinstance(value, int | float) and not isinstance(value, bool) and value
    for unit, factor in sorted(units.items(), key=lambda it: -it[1]) if number else ():
        if value >= factor and round(value / factor, 9) % 1 == 0:
            return f"{value / factor:g}{unit}"
    return value


def unwrap(type_: Any) -> tuple[Any, dict[str, Any]]:
    """Return a type without its annotations and without None, and what `Meta` has under ``extra``."""
    extra: dict[str, Any] = {}
    if get_origin(type_) is Annotated:
        type_, *metas = get_args(type_)
        for meta in metas:
            extra |= getattr(meta, "extra", None) or {}
    members = [it for it in get_args(type_) if it is not NoneType]
    if get_origin(type_) in (Union, UnionType) and len(members) == 1:
        type_, more = unwrap(members[0])
        extra |= more
    return type_, extra


def is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Struct)


class Reader:
    """Reads raw values as the types that Structs declare, and collects every problem; it quotes no value.

    Without ``reveal`` a secret that lies in a file or a variable is left there. ``hidden`` are the
    paths of secrets that are written where they are meant.
    """

    def __init__(self, source: Source, *, reveal: bool = True) -> None:
        self.source, self._reveal = source, reveal
        self.problems: list[Problem] = []
        self.hidden: set[str] = set()
        self._unrevealed = False

    def report(self, path: str, what: str, hint: str = "", *, deployment_only: bool = False) -> Any:
        where = ": ".join(filter(None, (self.source.layer(path), path)))
        self.problems.append(Problem(where, what, hint, deployment_only))
        return BAD

    def fields(self, raw: Any, cls: type[Struct], path: str) -> dict[str, Any]:
        """Return the good values by key; what is missing, wrong or unknown is a problem."""
        if not isinstance(raw, Mapping):
            self._convert(raw, dict, path)
            return {}
        known = {it.encode_name: it for it in fields(cls)}
        above, good = f"{path}." if path else "", {}
        for key in raw if cls.__struct_config__.forbid_unknown_fields else ():
            if key not in known:
                self.report(f"{above}{key}", "unknown key", suggest(str(key), known))
        for key, it in known.items():
            if key in raw:
                good[key] = self.value(raw[key], it.type, above + key)
            elif it.required:
                self.report(above + key, "is missing", "it has no default: set it")
        return {key: value for key, value in good.items() if value is not BAD}

    def value(self, raw: Any, type_: Any, path: str, *, secret: bool = False) -> Any:
        """Return what ``raw`` means as a ``type_``, from the inside out; BAD where a problem keeps it from that."""
        (bare, extra), before = unwrap(type_), len(self.problems)
        choice = get_origin(bare) in (Union, UnionType, Literal)
        kinds = [it for it in get_args(bare) if it is not ... and not choice] or [Any, Any]
        if isinstance(raw, Text):
            raw = str(raw) if bare is str else self._parsed(str(raw), path)
        secret = secret or "secret" in extra
        if "secret" in extra and isinstance(raw, Mapping):
            raw = self._reference(raw, path)
        elif "raw" in extra:
            raw = {} if raw is None else raw
        elif "unit" in extra and raw is not None:
            raw = self._number(raw, extra["unit"], path)
        elif isinstance(raw, Mapping) and is_struct(bare):
            raw = self.fields(raw, bare, path)
        elif isinstance(raw, Mapping) and len(kinds) == 2:
            secrets = {key for key in raw if secret or looks_secret(str(key))}
            raw = {k: self.value(it, kinds[1], f"{path}.{k}", secret=k in secrets) for k, it in raw.items()}
        elif isinstance(raw, list):
            kinds += kinds[-1:] * len(raw)
            raw = [self.value(it, kinds[n], f"{path}.{n}", secret=secret) for n, it in enumerate(raw)]
        elif secret and raw not in (None, ""):
            self.hidden.add(path)
            self.source.secrets.add(str(raw))
        return BAD if len(self.problems) > before else self._convert(raw, type_, path)

    def _convert(self, raw: Any, type_: Any, path: str) -> Any:
        try:
            return convert(raw, type_)
        except ValidationError as error:
            what, own = str(error).partition(" - at `$")[0], error.__cause__ is not None
        bare, hint = unwrap(type_)[0], ""
        if own:
            what = self._discreet(mask(what), getattr(bare, "__name__", "it"))
            return self.report(path, what, deployment_only=self._unrevealed)
        if get_origin(bare) is Literal:
            what = f"Expected one of {', '.join(map(repr, get_args(bare)))}"
        elif not what.startswith(("Expected", "Object")):
            what = "Is not allowed"  # msgspec would quote it
        for word, plain in _PLAIN.items():
            what = what.replace(word, plain)
        if isinstance(raw, list | Mapping) and not raw:
            what += f", got an empty {'list' if isinstance(raw, list) else 'mapping'}"
        if bare is str and isinstance(raw, int | float | date):
            hint = "put it in quotes"
        return self.report(path, what[0].lower() + what[1:], hint)

    def _discreet(self, what: str, who: str) -> str:
        """Return what a Struct says of its values, unless it holds a part of a secret, as of the port in a URL."""
        words = [word for word in re.findall(r"[^\s'\"]+", what) if len(word) > 2]
        if any(it in what or repr(it) in what or any(word in it for word in words) for it in self.source.secrets):
            return f"{who} refuses its values, and what it says of them may hold a secret"
        return what

    def _parsed(self, text: str, path: str) -> Any:
        try:
            return parse(text, self.source.layer(path))
        except ConfigError as error:
            self.problems += error.problems

    def _number(self, raw: Any, unit: str, path: str) -> Any:
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?(\w+)", str(raw))
        if match and match[2] in _UNITS[unit]:
            raw = round(float(match[1]) * _UNITS[unit][match[2]], 9 if unit == "seconds" else None)
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not raw >= 0:
            self.report(path, f"expected {_EXAMPLES[unit]}")
        return raw

    def _reference(self, raw: Mapping[Any, Any], path: str) -> Any:
        kind, name = next(iter(raw.items()), ("", ""))
        if len(raw) != 1 or kind not in ("file", "env") or not (name and isinstance(name, str)):
            return self.report(path, "expected text, {file: PATH} or {env: NAME}, got a mapping")
        found, why = self.source.environ.get(name, ""), "is empty, or not set"
        if not self._reveal:
            self._unrevealed, found = True, REDACTED
        elif kind == "file":
            try:
                found = read_text((self.source.folder or Path()) / name).removesuffix("\n")
            except ValueError as error:
                found, why = "", str(error)
        if not found:
            what = f"the secret's {kind} {name!r} {why}"
            return self.report(path, what, "put the secret there", deployment_only=True)
        self.source.secrets.add(found)
        return found
