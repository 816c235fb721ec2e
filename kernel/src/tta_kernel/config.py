"""Where settings come from: two files, then the environment, and each value remembers which."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from msgspec import NODEFAULT, Struct, to_builtins
from msgspec.structs import asdict, fields

from . import schema
from .errors import ConfigError, Problem
from .schema import REDACTED, Duration, Reader, Secret, Size, Source, suggest

__all__ = ["Duration", "Entry", "KernelSettings", "PluginSettings", "Secret", "Size", "Source"]
__all__ += ["decode", "entries", "load", "read", "secrets", "unknown_plugins"]
Environ = Mapping[str, str] | None
S = TypeVar("S", bound=Struct)


class PluginSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One plugin's section; ``config`` is raw until `decode` knows the plugin's own Struct."""

    enabled: bool = True
    required: bool = True
    config: dict[str, Any] = {}

    def __repr__(self) -> str:  # without the config, which may hold secrets
        return f"PluginSettings(enabled={self.enabled}, required={self.required})"


class KernelSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration; ``source`` is not a key of a file, and embedders leave it alone."""

    autoload: bool = True
    autoload_except: tuple[str, ...] = ()
    start_timeout: Duration = 30.0
    stop_timeout: Duration = 10.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "human", "json"] = "auto"
    plugins: dict[str, PluginSettings] = {}
    source: Source = Source()

    def wish(self, plugin: str) -> PluginSettings:
        """Return what is wanted of a plugin; one that isn't named runs where ``autoload`` lets it."""
        enabled = self.autoload and plugin not in self.autoload_except
        return self.plugins.get(plugin) or PluginSettings(enabled=enabled)


class _Top(Struct, forbid_unknown_fields=True):
    kernel: Any = {}
    plugins: dict[str, Any] = {}


class Entry(Struct, frozen=True):
    """One value in force, with secrets redacted, and the layer that it comes from."""

    key: str
    value: Any
    layer: str


def load(folder: Path | None = None, environment: str | None = None, environ: Environ = None) -> KernelSettings:
    """Read the settings; raise a `ConfigError` that lists all problems."""
    settings, problems = read(folder, environment, environ)
    if problems:
        raise ConfigError(*problems)
    return settings


def read(
    folder: Path | None = None, environment: str | None = None, environ: Environ = None
) -> tuple[KernelSettings, list[Problem]]:
    """Read what can be read, with broken plugin sections disabled; return all problems, too."""
    environ = os.environ if environ is None else environ
    environment = environment or environ.get("TTA_ENV") or "development"
    named = folder or environ.get("TTA_CONFIG")
    home, problems, tree, layers = None, list[Problem](), dict[str, Any](), dict[str, str]()
    names: list[Path | str] = sorted(name for name in environ if name.startswith("TTA__"))
    try:
        home = _folder(named)
        names[:0] = _files(home, environment, named=bool(named))
    except ConfigError as error:
        problems += error.problems
    for name in names:
        try:
            new = _file(name) if isinstance(name, Path) else _variable(name, environ[name])
            _merge(tree, new, str(name), layers)
        except ConfigError as error:
            problems += error.problems
    reader = Reader(Source(environment, home, environ, layers), problems, final=False)
    top = reader.fields(tree, _Top, "")
    kernel = reader.fields(top.get("kernel", {}), KernelSettings, "kernel", ("plugins", "source"))
    plugins = {}
    for name, section in top.get("plugins", {}).items():
        found = reader.value(section, PluginSettings, f"plugins.{name}")
        plugins[str(name)] = PluginSettings(enabled=False) if found is schema.BAD else found
    return KernelSettings(**kernel, plugins=plugins, source=reader.source), problems


def _folder(named: Path | str | None) -> Path | None:
    """Return the named folder, else ``config`` here, else the one that a distribution ships."""
    hint = "name the config folder with --config or TTA_CONFIG"
    if not named:
        if Path("config").is_dir():
            return Path("config")
        from importlib.metadata import entry_points
        from importlib.util import find_spec

        offers = [*entry_points(group="tta.config")]
        if len(offers) > 1:
            what = " and ".join(repr(it.dist.name if it.dist else it.value) for it in offers)
            raise ConfigError(Problem("config folder", f"{what} ship one each", hint))
        if not offers:
            return None
        package, _, name = offers[0].value.partition(":")
        spec = find_spec(package.partition(".")[0])  # of the top level, which imports nothing
        parents = (spec and spec.submodule_search_locations) or [offers[0].value]
        named = Path(parents[0], name)
    if not os.path.isdir(named):  # noqa: PTH112  # Path.is_dir may raise
        raise ConfigError(Problem(str(named), "is not a folder that can be read", hint))
    return Path(named)


def _files(home: Path | None, environment: str, *, named: bool) -> list[Path]:
    where = f"environment {environment!r}"
    if not re.fullmatch(r"\w+([.-]\w+)*", environment):
        hint = "letters, digits, '-', '_' and '.' make a name"
        raise ConfigError(Problem(where, "is not a name", hint))
    if home is None and environment != "development":
        what = "there is no config folder, and without one only 'development' exists"
        raise ConfigError(Problem(where, what, "name a folder with --config or TTA_CONFIG"))
    if home is None:
        return []
    base = home / "base.yaml"
    wanted = named or os.path.exists(base)  # noqa: PTH110  # Path.exists, too, may raise
    return [base] * wanted + [home / f"{environment}.yaml"]


def _file(path: Path) -> dict[str, Any]:
    there = {it.stem for it in path.parent.glob("*.yaml")}
    if path.stem not in there:
        names = sorted(there - {"base"})
        hint = suggest(path.stem, names)
        hint += f" ({', '.join(names)})" if hint.endswith("?") else ""
        raise ConfigError(Problem(str(path), "there is no such file", hint))
    try:
        tree: dict[str, Any] | None = schema.parse(schema.read_text(path), str(path))
    except ValueError as error:
        raise ConfigError(Problem(str(path), str(error), "mend the file")) from None
    if not isinstance(tree, dict | None):
        what = "expected a mapping with the keys kernel and plugins"
        raise ConfigError(Problem(str(path), what))
    return tree or {}


def _variable(name: str, text: str) -> dict[str, Any]:
    keys = name.lower().split("__")[1:]
    if "" in keys:
        hint = "write TTA__PLUGINS__NAME__CONFIG__KEY or TTA__KERNEL__KEY"
        raise ConfigError(Problem(name, "a part of the name is empty", hint))
    if keys[0] == "plugins":
        keys[1:2] = [key.replace("_", "-") for key in keys[1:2]]
    tree: Any = schema.Text(text)
    for key in reversed(keys[1:]):
        tree = {key: tree}
    return {keys[0]: tree}


def _merge(into: dict[Any, Any], new: dict[Any, Any], layer: str, layers: dict[str, str], above: str = "") -> None:
    """Lay ``new`` over ``into``: mappings merge, all else replaces."""
    for key, value in new.items():
        path = f"{above}{key}"
        old: Any = into.get(key)
        if re.fullmatch(r"kernel|plugins(\.[^.]+(\.config)?)?", path):
            value = schema.parse(str(value), layer) if isinstance(value, schema.Text) else value
            value = {} if value is None else value  # a name with nothing behind it: all defaults
        # Two ways to a secret don't merge: the upper layer's counts.
        nested = isinstance(value, dict)
        merge = nested and isinstance(old, dict)
        if not merge or ("config." in path and {*old, *value} == {"file", "env"}):
            for stale in [it for it in layers if it == path or it.startswith(f"{path}.")]:
                del layers[stale]
            into[key] = {} if nested else value
        layers[f"{path}." if nested else path] = layer
        if nested:
            _merge(into[key], value, layer, layers, f"{path}.")


def decode(settings: KernelSettings, plugin: str, type_: type[S]) -> S:
    """Turn a plugin's section into its Struct; raise a `ConfigError` that lists all problems."""
    reader = Reader(settings.source)
    section = settings.plugins.get(plugin, PluginSettings())
    found: S = reader.value(section.config, type_, f"plugins.{plugin}.config")
    if reader.problems:
        raise ConfigError(*reader.problems)
    return found


def unknown_plugins(settings: KernelSettings, installed: Iterable[str]) -> list[Problem]:
    """Return a problem for each enabled section whose plugin is not installed."""
    reader, names = Reader(settings.source), [*installed]
    for name, section in settings.plugins.items():
        if section.enabled and name not in names:
            what, hint = "no plugin of that name is installed", suggest(name, names)
            reader.report(f"plugins.{name}", what, hint)
    return reader.problems


def secrets(configs: Iterable[Struct]) -> set[str]:
    """Return what no log may show: the secrets in decoded configs."""
    found: set[str] = set()
    _shown([*configs], found)
    return found


def entries(settings: KernelSettings, types: Mapping[str, type[Struct]]) -> list[Entry]:
    """List the config in force, key by key; a plugin without a type shows its raw section."""
    kernel = {it: getattr(settings, it) for it in KernelSettings.__struct_fields__}
    del kernel["plugins"], kernel["source"]
    found = [*_leaves("kernel", kernel, settings.source)]
    for name in sorted({*settings.plugins, *types}):
        path, section = f"plugins.{name}", settings.plugins.get(name)
        raw = section.config if section else {}
        if section:
            wish = {"enabled": section.enabled, "required": section.required}
            found += _leaves(path, wish, settings.source)
        path += ".config"
        shown = _in_force(raw, types[name], path, settings.source) if name in types else _shown(raw, set())
        found += _leaves(path, shown, settings.source) if shown else ()
    return found


def _in_force(raw: Any, type_: Any, path: str, source: Source) -> dict[str, Any]:
    values = Reader(source, final=False).fields(raw, type_, path)
    for it in fields(type_):
        default = it.default if it.default_factory is NODEFAULT else it.default_factory()
        default = "<missing>" if default is NODEFAULT else default
        values.setdefault(it.name, "<invalid>" if it.encode_name in raw else default)
    return _without_secrets(values, type_, set())


def _without_secrets(values: dict[str, Any], type_: Any, found: set[str]) -> dict[str, Any]:
    """Return a Struct's values as builtins; its secrets go to ``found``."""
    return {it.encode_name: _shown(values[it.name], found, secret=schema.holds_secret(it.type)) for it in fields(type_)}


def _shown(value: Any, found: set[str], *, secret: bool = False) -> Any:
    if isinstance(value, Struct):
        return _without_secrets(asdict(value), type(value), found)
    if isinstance(value, Mapping):
        secrets = {key: secret or schema.looks_secret(str(key)) for key in value}
        return {str(key): _shown(it, found, secret=secrets[key]) for key, it in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(it, found, secret=secret) for it in value]
    if secret and value not in (None, ""):
        found.add(str(value))
        return REDACTED
    return schema.mask(value) if isinstance(value, str) else to_builtins(value)


def _leaves(path: str, value: Any, source: Source) -> Iterator[Entry]:
    if isinstance(value, dict) and value:
        for key, it in value.items():
            yield from _leaves(f"{path}.{key}", it, source)
    else:
        yield Entry(path, value, source.layer(path, sections=False) or "default")
