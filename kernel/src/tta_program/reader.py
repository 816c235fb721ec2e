"""Raw values against a Struct: durations, sizes, secrets, paths, and every problem, not just the first."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from msgspec import Struct, ValidationError, convert, to_builtins

from tta_kernel import ConfigError, Problem, suggest
from tta_kernel.errors import raised_at
from tta_kernel.settings import S, decoded
from tta_kernel.units import UNITS, is_struct, measure, unwrap

from .defaults import default_of, settled
from .fields import fields
from .files import parse, read_text
from .layers import BAD, Source, Text, TextMapping
from .secrets import REDACTED, SecretText, UrlText, looks_secret, mask, passwords

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""A number that YAML 1.1, as PyYAML reads it, takes for text, and JSON and everybody else for a number."""
_TEXTS = (str, Path)
_PLAIN = {"`Path`": "a path", "`object`": "a mapping", "`array`": "a list", "`bool`": "true or false", "`": ""}


def written(value: Any, type_: Any) -> Any:
    """Return a duration or a size as a person writes it, and anything else as it is."""
    bare, extra = unwrap(type_)
    if isinstance(value, TextMapping) and bare in _TEXTS:
        return value.text
    if isinstance(value, Mapping) and len(get_args(bare)) == 2:
        return {key: written(it, get_args(bare)[1]) for key, it in value.items()}
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if "unit" not in extra or not number or not 0 < value < 1e18:
        return value  # One beyond all measure is told as it stands, and refused elsewhere.
    largest_first = sorted(UNITS[extra["unit"]].items(), key=lambda it: -it[1])
    for unit, factor in largest_first:
        if value >= factor and round(value / factor, 9) % 1 == 0:
            return f"{value / factor:g}{unit}"
    return value


class Reader:
    """Reads raw values as the types that Structs declare, and collects every problem; it quotes no value.

    Without ``reveal`` a secret that lies in a file or a variable is left there. ``hidden`` are the keys of
    secrets that are written where they are meant, and ``placed`` is what each path in the config means.
    """

    def __init__(self, source: Source, *, reveal: bool = True) -> None:
        self.source = source
        self._reveal = reveal
        self.problems: list[Problem] = []
        self.hidden: set[str] = set()
        self.placed: dict[str, Path] = {}
        self._unrevealed = False
        """A secret was left where it lies, so that a Struct may refuse what stands in its place."""

    def report(self, path: str, what: str, hint: str = "", *, deployment_only: bool = False) -> Any:
        """Note a problem with the value at ``path``, and return what stands in place of a good one."""
        where = ": ".join(filter(None, (self.source.layer(path), path)))
        self.problems.append(Problem(where, what, hint, deployment_only))
        return BAD

    def fields(self, raw: Any, cls: type[Struct], path: str, *, only: Collection[str] | None = None) -> dict[str, Any]:
        """Return the good values by key; what is missing, wrong or unknown is a problem.

        With ``only`` these of its fields may be there, and no others.
        """
        if not isinstance(raw, Mapping):
            self._convert(raw, dict, path)
            return {}
        above = f"{path}." if path else ""
        known = {it.encode_name: it for it in fields(cls) if only is None or it.name in only}
        good = {}
        tag_field = cls.__struct_config__.tag_field
        if tag_field and tag_field in raw:  # It is no field; msgspec judges it with them.
            good[tag_field] = self.value(raw[tag_field], type(cls.__struct_config__.tag), above + tag_field)
        if cls.__struct_config__.forbid_unknown_fields:
            moved: Mapping[str, str] = getattr(cls, "__moved__", {})
            for key in raw:
                if key not in known and key not in good:
                    hint = f"it is {moved[key]} now" if key in moved else suggest(str(key), known)
                    self.report(f"{above}{key}", "unknown key", hint)
        for key, it in known.items():
            if key in raw:
                good[key] = self.value(raw[key], it.type, above + key)
            elif it.required:
                self.report(above + key, "is missing", "it has no default: set it")
            else:
                default = default_of(it)
                meant = settled(default, it.type, above + key, self._default_path)
                if meant is not default:
                    good[key] = meant
        return {key: value for key, value in good.items() if value is not BAD}

    def value(self, raw: Any, type_: Any, path: str, *, secret: bool = False) -> Any:
        """Return what ``raw`` means as a ``type_``, from the inside out; BAD where a problem keeps it from that."""
        bare, _ = unwrap(type_)
        before = len(self.problems)
        if isinstance(raw, TextMapping) and (bare in _TEXTS or (secret and bare is Any)):
            raw = raw.text  # Of a plugin that isn't imported, the name alone says that this is a secret.
        if isinstance(raw, Text):
            as_it_is = bare in _TEXTS or raw in _choices(bare)  # "on" may be one.
            raw = str(raw) if as_it_is else self._parsed(str(raw), path)
        if bare is float and isinstance(raw, str) and _EXPONENT.fullmatch(raw):
            raw = float(raw)
        if isinstance(raw, Mapping):
            member = _member(bare, raw)
            if member:
                return self.value(raw, member, path, secret=secret)
        declared = _declared_secret(type_)
        if declared and isinstance(raw, Mapping):
            raw = self._reference(raw, path)
        else:
            raw = self._parts(raw, type_, path, secret=secret or (declared and isinstance(raw, str)))
        if len(self.problems) > before:
            return BAD
        found = self._convert(raw, type_, path)
        if found is BAD and not is_struct(bare) and _may_hold_secret(type_):
            self._hide(raw, path)
        if not isinstance(found, str):
            return found
        return SecretText(found) if declared else self._without_password(found)

    def _without_password(self, text: str) -> str:
        """Return a text that shows no password of a URL in it, and keep that from the logs."""
        if mask(text) == text:
            return text
        self.source.secrets.update(passwords(text))
        return UrlText(text)

    def _parts(self, raw: Any, type_: Any, path: str, *, secret: bool) -> Any:
        """Return ``raw`` with all that lies in it read, and itself, where its type says how it is written."""
        bare, extra = unwrap(type_)
        secret = secret or "secret" in extra
        if "path" in extra and isinstance(raw, str | Path):
            return self._path(raw, path)
        if "raw" in extra:
            return {} if raw is None else raw
        if "unit" in extra and raw is not None:
            return self._number(raw, extra["unit"], path)
        if isinstance(raw, Mapping) and is_struct(bare):
            return self.fields(raw, bare, path)
        kinds = _kinds(bare)
        if isinstance(raw, Mapping) and len(kinds) == 2:
            secrets = {key for key in raw if secret or looks_secret(str(key))}
            return {key: self.value(it, kinds[1], f"{path}.{key}", secret=key in secrets) for key, it in raw.items()}
        if isinstance(raw, list):
            kinds += kinds[-1:] * len(raw)  # A tuple may have a type for each place; all else has one.
            return [self.value(it, kinds[n], f"{path}.{n}", secret=secret) for n, it in enumerate(raw)]
        if secret:
            self._hide_one(raw, path)
        return raw

    def _hide(self, raw: Any, path: str) -> None:
        """Hide all that lies in a value whose shape is wrong: any part of it may be the secret."""
        if isinstance(raw, Mapping):
            parts = [*raw.items()]
        elif isinstance(raw, list):
            parts = [*enumerate(raw)]
        else:
            self._hide_one(raw, path)
            return
        for key, part in parts:
            self._hide(part, f"{path}.{key}")

    def _hide_one(self, raw: Any, path: str) -> None:
        if raw not in (None, ""):
            self.hidden.add(path)
            self.source.secrets.add(str(raw))

    def _path(self, written: str | Path, path: str) -> Any:
        if written == "":
            return self.report(path, "expected a path, got an empty text")
        try:
            self.placed[path] = self.source.absolute(written, path)
        except ValueError as error:
            return self.report(path, str(error), "write an absolute path")
        return self.placed[path]

    def _default_path(self, default: Path, path: str) -> Path:
        self.placed[path] = self.source.absolute_default(default)
        return self.placed[path]

    def _convert(self, raw: Any, type_: Any, path: str) -> Any:
        try:
            return convert(raw, type_)
        except ValidationError as error:
            what, _, at = str(error).partition(" - at `")
            if at.startswith("key`"):
                what = what.replace(", got", " as each key, got")
            own = error.__cause__ is not None  # It comes from a Struct's __post_init__.
        except Exception as error:  # noqa: BLE001  # so does this: msgspec lets pass what isn't meant as a refusal
            what = f"it raised {type(error).__name__} at {raised_at(error)}"
            own = True
        bare, _ = unwrap(type_)
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
        hint = ""
        if (bare in _TEXTS or _choices(bare)) and isinstance(raw, int | float | date):
            hint = "put it in quotes"
        return self.report(path, what[0].lower() + what[1:], hint)

    def _discreet(self, what: str, who: str) -> str:
        """Return what a Struct says of its values, unless it holds a part of a secret, as of the port in a URL."""
        words = [word for word in re.findall(r"[^\s'\"]+", what) if len(word) > 2]
        for secret in self.source.secrets:
            if secret in what or repr(secret) in what or any(word in secret for word in words):
                return f"{who} refuses its values, and what it says of them may hold a secret"
        return what

    def _parsed(self, text: str, path: str) -> Any:
        try:
            return parse(text, self.source.layer(path))
        except ConfigError as error:
            self.problems += error.problems

    def _number(self, raw: Any, unit: str, path: str) -> Any:
        try:
            return measure(raw, unit)
        except ValueError as error:
            return self.report(path, str(error))

    def _reference(self, raw: Mapping[Any, Any], path: str) -> Any:
        kind, name = next(iter(raw.items()), ("", ""))
        written = isinstance(name, str) or (kind == "file" and isinstance(name, Path))
        if len(raw) != 1 or kind not in ("file", "env") or not (name and written):
            self._hide(raw, path)
            return self.report(path, "expected text, {file: PATH} or {env: NAME}, got a mapping")
        why = "is empty, or not set"
        if not self._reveal:
            self._unrevealed = True
            found = REDACTED
        elif kind == "env":
            found = self.source.environ.get(str(name), "")
        else:
            try:
                found = read_text(self.source.absolute(name, f"{path}.file"))
                # One end of a line, which an editor has put there; of Windows', too.
                found = found.removesuffix("\n").removesuffix("\r")
            except ValueError as error:
                found = ""
                why = str(error)
        if not found:
            what = f"the secret's {kind} {str(name)!r} {why}"
            return self.report(path, what, "put the secret there", deployment_only=True)
        self.source.secrets.add(found)
        return found


def _choices(type_: Any) -> Collection[str]:
    """Return the texts among which a type lets choose; none where it is another type."""
    if get_origin(type_) is Literal:
        values = get_args(type_)
    elif isinstance(type_, type) and issubclass(type_, Enum):
        values = tuple(it.value for it in type_)
    else:
        return ()
    return [it for it in values if isinstance(it, str)]


def _is_choice(type_: Any) -> bool:
    return get_origin(type_) in (Union, UnionType, Literal)


def _kinds(type_: Any) -> list[Any]:
    """Return the types of what lies in a list, a tuple or a mapping."""
    inner = [] if _is_choice(type_) else [it for it in get_args(type_) if it is not ...]
    return inner or [Any, Any]


def _declared_secret(type_: Any) -> bool:
    """Say whether a type is `Secret`, or a union with it."""
    bare, extra = unwrap(type_)
    members = get_args(bare) if _is_choice(bare) else ()
    return "secret" in extra or any("secret" in unwrap(it)[1] for it in members)


def _may_hold_secret(type_: Any, seen: tuple[Any, ...] = ()) -> bool:
    """Say whether a `Secret` lies anywhere in a type."""
    bare, extra = unwrap(type_)
    if "secret" in extra:
        return True
    if bare in seen:  # A Struct may hold others of its kind.
        return False
    inner = [it.type for it in fields(bare)] if is_struct(bare) else get_args(bare)
    return any(_may_hold_secret(it, (*seen, bare)) for it in inner)


def _member(type_: Any, raw: Mapping[Any, Any]) -> type[Struct] | None:
    """Return which Struct of a union a mapping means: the one of its tag, or the only one."""
    if get_origin(type_) not in (Union, UnionType):
        return None
    members: list[type[Struct]] = [it for it in get_args(type_) if is_struct(it)]
    for it in members:
        tag = it.__struct_config__.tag
        if tag is None or tag == raw.get(it.__struct_config__.tag_field):
            return it
    return None


def checked(what: str, struct: S) -> S:
    """Return a Struct as a config would give it, or raise a ValueError: it checks nothing when it is built."""
    try:
        return decoded(to_builtins(struct), type(struct), what)
    except (ConfigError, TypeError) as error:
        raise ValueError(str(error)) from None
