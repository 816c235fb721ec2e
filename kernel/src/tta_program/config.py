"""Where settings come from: two files, the environment, then code, and each value remembers which."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from tta_kernel import ConfigError, Duration, KernelSettings, PluginSettings, PositiveDuration, Problem, suggest
from tta_kernel.settings import ConfigPath, Section

from .files import DEEPEST, TOO_DEEP, parse, read_text
from .layers import Layer, Source, Text, TextMapping
from .quarantine import Failures, Quarantine
from .reader import Reader
from .variables import with_variables
from .watch import LIMIT

Environ = Mapping[str, str] | None
S = TypeVar("S", bound=Struct)
FROM_CODE = Problem("reload", "these settings came from no files", "give new settings")
_TOP = "expected a mapping with the keys kernel and plugins"


class LayeredSettings(KernelSettings, frozen=True, kw_only=True):
    """Settings that remember the layer of each value, and read sections with messages for people.

    Without ``reveal`` a secret that lies in a file or a variable is not looked for.
    """

    keys: ClassVar[tuple[str, ...]] = (
        "autoload", "start_timeout", "stop_timeout", "hook_timeouts", "log_level", "log_format",
        "block_warning", "import_timeout", "quarantine",
    )  # fmt: skip
    """What may stand under ``kernel``: of the kernel, and of the program around it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "human", "json"] = "auto"
    block_warning: Duration = LIMIT
    """How long the event loop may be blocked, or a plugin be imported, before that is told; 0 means never."""
    import_timeout: PositiveDuration = 60.0
    """How long ``tta`` lets one plugin be imported and constructed."""
    quarantine: ConfigPath | None = None
    """The file that counts the starts that optional plugins failed; None: nobody counts."""
    source: Source = field(default_factory=Source)
    reveal: bool = True
    broken: Mapping[str, Sequence[Problem]] = {}
    """What is wrong with sections, by plugin; none of these can be decoded."""
    complete: bool = True
    """Whether all layers could be read; else nobody knows what more they say."""
    failures: Mapping[str, Failures] = {}
    """The starts in a row that optional plugins have failed, as far as they are counted."""
    uncounted: Sequence[Problem] = ()
    """Why the starts can't be counted: nothing that keeps a kernel from starting."""

    @property
    def secrets(self) -> AbstractSet[str]:
        """What no log may show, as far as it has been decoded."""
        return self.source.secrets

    def decode(self, plugin: str, type_: type[S]) -> S:
        """Turn a plugin's section into its Struct; raise a `ConfigError` that lists all problems."""
        if plugin in self.broken:
            raise ConfigError(*self.broken[plugin])
        if self.in_quarantine(plugin):
            # So its class is known, and with it the hooks that it now answers with an error; but there is no instance.
            raise ConfigError(self.failures[plugin].problem(plugin))
        path = f"plugins.{plugin}.config"
        raw = with_variables(self.plugins.get(plugin, PluginSettings()).config, type_, path, self.source)
        reader = Reader(self.source, reveal=self.reveal)
        found: S = reader.value(raw, type_, path)
        if reader.problems:
            raise ConfigError(*reader.problems)
        return found

    def in_quarantine(self, plugin: str) -> bool:
        """Say whether a plugin is left out because it failed too many starts."""
        section = self.plugins.get(plugin)
        optional = section is not None and not section.required
        return optional and plugin in self.failures and self.failures[plugin].enough

    def where(self, key: str) -> str:
        """Name the uppermost layer that says something of ``key``, else of the section that it lies in."""
        return self.source.layer(key)

    def placed(self, problem: Problem) -> Problem:
        """Return a problem with the layer of the key that it is about, if it is about one."""
        layer = self.where(problem.where)
        return replace(problem, where=f"{layer}: {problem.where}") if layer else problem

    def read(self) -> KernelSettings:
        """Read the same files again, and the same environment, under the same overrides."""
        if not self.source.environment:
            raise ConfigError(FROM_CODE)
        source = self.source
        fresh = load(source.folder, source.environment, source.environ, overrides=source.overrides)
        # Who is in quarantine is settled at a start: what runs goes on, though another process has failed to start it.
        return replace(fresh, failures=self.failures, uncounted=self.uncounted)


class _Top(Struct, forbid_unknown_fields=True):
    kernel: Section = {}
    plugins: Section = {}


def load(
    folder: Path | None = None,
    environment: str | None = None,
    environ: Environ = None,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> LayeredSettings:
    """Read the settings; raise a `ConfigError` that lists all problems.

    ``overrides`` are settings from code, such as ``{"plugins": {"clock": {"config": {"hour": 7}}}}``; they lie
    above the files and the environment.
    """
    settings, problems = read(folder, environment, environ, overrides=overrides)
    if problems:
        raise ConfigError(*problems)
    return settings


def read(
    folder: Path | None = None,
    environment: str | None = None,
    environ: Environ = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    reveal: bool = True,
) -> tuple[LayeredSettings, list[Problem]]:
    """Read what can be read; return all problems, too."""
    environ = os.environ if environ is None else environ
    environment = environment or environ.get("TTA_ENV") or "development"
    layers: list[Layer] = []
    problems: list[Problem] = []
    try:
        overrides = _plain(overrides)  # as they are now, whatever becomes of them later
    except ConfigError as error:
        overrides = None
        problems += error.problems
    source = Source(environment, None, environ, overrides, layers)
    names: list[Path | str] = sorted(name for name in environ if name.startswith("TTA__"))
    try:
        home = _folder(folder or environ.get("TTA_CONFIG"))
        source = Source(environment, home, environ, overrides, layers)
        names[:0] = _files(home, environment)
    except ConfigError as error:
        problems += error.problems
    for name in names:
        try:
            layers.append(_file(name) if isinstance(name, Path) else _variable(name, environ[name]))
        except ConfigError as error:
            problems += error.problems
    if isinstance(overrides, dict):
        layers.append(Layer("overrides", overrides))
    elif overrides is not None:
        problems.append(Problem("overrides", _TOP))
    reader = Reader(source)
    top = reader.fields(reduce(_merge, (layer.tree for layer in layers), {}), _Top, "")
    complete = not (problems or reader.problems)
    kernel = reader.fields(top.get("kernel", {}), LayeredSettings, "kernel", only=LayeredSettings.keys)
    plugins: dict[str, PluginSettings] = {}
    broken: dict[str, Sequence[Problem]] = {}
    for key, section in top.get("plugins", {}).items():
        name = str(key)
        before = len(reader.problems)
        good = reader.fields({} if section is None else section, PluginSettings, f"plugins.{key}")
        plugins[name] = PluginSettings(**good)
        if len(reader.problems) > before:
            broken[name] = reader.problems[before:]
            # Required, whatever it says: nothing goes on without a plugin whose section can't be read.
            plugins[name] = PluginSettings(enabled=good.get("enabled", True))
    failures, uncounted = _failures(kernel.get("quarantine"))
    settings = LayeredSettings(
        **kernel,
        plugins=plugins,
        source=source,
        reveal=reveal,
        broken=broken,
        complete=complete,
        failures=failures,
        uncounted=uncounted,
    )
    return settings, [*problems, *_misnamed(environ), *reader.problems]


def _misnamed(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Find variables that were meant to be read, and would be left alone for an underscore."""
    for name in sorted(environ):
        if found := re.fullmatch(r"TTA_(KERNEL|PLUGINS)(?:_+(\w+))?", name):
            meant = "__".join(filter(None, ("TTA", *found.groups())))
            yield Problem(name, "is not read, since there are two underscores behind TTA in what is", f"write {meant}")


def _failures(quarantine: Path | None) -> tuple[Mapping[str, Failures], Sequence[Problem]]:
    if quarantine is None:
        return {}, ()
    try:
        return Quarantine(quarantine).read(), ()
    except ConfigError as error:
        return {}, error.problems


def _folder(named: Path | str | None) -> Path | None:
    """Return the named folder, else ``config`` here, else the one that a distribution ships."""
    hint = "name the config folder with --config or TTA_CONFIG"
    if not named and Path("config/base.yaml").is_file():
        return Path("config")
    if not named:
        from importlib.metadata import entry_points
        from importlib.util import find_spec

        offers = [*entry_points(group="tta.config")]
        if len(offers) > 1:
            what = " and ".join(repr(it.dist.name if it.dist else it.value) for it in offers)
            raise ConfigError(Problem("config folder", f"{what} ship one each", hint))
        if not offers:
            return None
        package, _, name = offers[0].value.partition(":")
        spec = find_spec(package)  # of the top level, which imports nothing
        named = Path(((spec and spec.submodule_search_locations) or [package])[0], name)
    if not os.path.isdir(named):  # noqa: PTH112  # Path.is_dir may raise
        raise ConfigError(Problem(str(named), "is not a folder that can be read", hint))
    return Path(named)


def _files(home: Path | None, environment: str) -> list[Path]:
    names = sorted(it.stem for it in home.glob("*.yaml")) if home else ["development"]
    choices = [it for it in names if it != "base"]
    if environment not in choices:
        where = f"{home}/{environment}.yaml"
        if home is None:
            where = f"environment {environment!r}, without a config folder, which --config or TTA_CONFIG names"
        what = "there is no such file"
        if environment in names:
            what = "is what every environment shares, and none itself"
        # Nobody has to guess that each environment has a file.
        hint = suggest(environment, choices) if choices else "make it: an empty one is enough"
        if hint.endswith("?"):
            hint += f" ({', '.join(choices)})"
        raise ConfigError(Problem(where, what, hint))
    if home is None:
        return []
    return [home / "base.yaml", home / f"{environment}.yaml"]


def _file(path: Path) -> Layer:
    try:
        tree = parse(read_text(path), str(path))
    except ValueError as error:
        raise ConfigError(Problem(str(path), str(error), "mend the file")) from None
    if not isinstance(tree, dict | None):
        raise ConfigError(Problem(str(path), _TOP))
    return Layer(str(path), tree or {}, path.parent)


def _variable(name: str, text: str) -> Layer:
    keys = name.lower().split("__")[1:]
    if "" in keys:
        hint = "write TTA__PLUGINS__NAME__CONFIG__KEY or TTA__KERNEL__KEY"
        raise ConfigError(Problem(name, "a part of the name is empty", hint))
    if keys[0] == "plugins":
        keys[1:2] = [key.replace("_", "-") for key in keys[1:2]]
    section = len(keys) == 1 or (keys[0] == "plugins" and keys[2:] in ([], ["config"]))
    tree: Any = parse(text, name) if section else _said(text, name)
    for key in reversed(keys):
        tree = {key: tree}
    return Layer(name, tree)


def _said(text: str, name: str) -> Text | TextMapping:
    """Return what a variable says of one value; a mapping merges with those of other layers."""
    if text.lstrip().startswith("{"):
        try:
            found = parse(text, name)
        except ConfigError:  # A password, perhaps; where it is no text, the reader tells what is wrong.
            return Text(text)
        if isinstance(found, dict):
            return TextMapping(text, found)
    return Text(text)


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a copy in which mappings are dicts, and sequences lists, as a file would have them."""
    if depth > DEEPEST:  # one that holds itself, most likely
        raise ConfigError(Problem("overrides", TOO_DEEP))
    if isinstance(value, Mapping):
        return {key: _plain(it, depth + 1) for key, it in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(it, depth + 1) for it in value]
    return value


def _merge(low: Any, high: Any) -> Any:
    """Lay ``high`` over ``low``: mappings merge, all else replaces; a name with nothing behind it changes nothing."""
    if isinstance(low, dict) and high is None:
        return low
    if not (isinstance(low, dict) and isinstance(high, dict)):
        return high
    if {*low, *high} == {"file", "env"} and all(isinstance(it, str) for it in high.values()):
        return high  # Two ways to a secret don't merge.
    if isinstance(high, TextMapping) and low.keys() in ({"file"}, {"env"}):
        return high  # Nor does a way to it with one that is written there.
    return low | {key: _merge(low.get(key), it) for key, it in high.items()}
