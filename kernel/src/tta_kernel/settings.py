"""What a kernel is told: how long things may take, and which plugins run with what config."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from .errors import ConfigError, Problem
from .spelling import close, suggest
from .units import PositiveDuration, check_duration, is_struct, measure, unwrap

S = TypeVar("S", bound=Struct)

Secret = Annotated[str, Meta(extra={"secret": True})]
ConfigPath = Annotated[Path, Meta(extra={"path": True})]
"""Absolute once it is read; it is written relative to the folder of the file that it stands in."""
Section = Annotated[dict[str, Any], Meta(extra={"raw": True})]
"""A mapping that is left as it is, for somebody else to read."""


class PluginSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One plugin's section; ``config`` is raw until the plugin's own Struct is known."""

    enabled: bool = True
    required: bool = True
    config: Section = {}

    def __repr__(self) -> str:  # without the config, which may hold secrets
        return f"PluginSettings(enabled={self.enabled}, required={self.required})"


class KernelSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration, given by code.

    Settings that come from elsewhere are a subclass, which says how a section is read (`decode`), and where a
    value stands (`where`).
    """

    autoload: bool = True
    start_timeout: PositiveDuration = 30.0
    stop_timeout: PositiveDuration = 10.0
    hook_timeouts: dict[str, Annotated[PositiveDuration, Meta(le=3600)]] = {}
    """How long one answer to an async hook may take, where that isn't what the hook's specification says."""
    plugins: dict[str, PluginSettings] = {}

    def __post_init__(self) -> None:
        limits = {"start_timeout": self.start_timeout, "stop_timeout": self.stop_timeout, **self.hook_timeouts}
        for name, limit in limits.items():
            check_duration(name, limit, positive=True)

    @property
    def secrets(self) -> Collection[str]:
        """What no log may show, as far as it has been decoded."""
        return frozenset()

    def decode(self, plugin: str, type_: type[S]) -> S:
        """Turn a plugin's section into its Struct, durations and sizes included; else raise `ConfigError`."""
        return decoded(self.plugins.get(plugin, PluginSettings()).config, type_, f"plugins.{plugin}.config")

    def where(self, key: str) -> str:
        """Name where the value of ``key`` stands, such as a file; empty where it is nowhere but in code."""
        return ""

    def placed(self, problem: Problem) -> Problem:
        """Return a problem with the place where the value of the key stands that it is about."""
        return problem


def decoded(raw: Mapping[str, Any], type_: type[S], path: str) -> S:
    """Return the Struct that is written as ``raw``, or raise `ConfigError`, which names the place below ``path``."""
    measured = _measured(raw, type_, path)
    try:
        return convert(measured, type_)
    except ValidationError as error:
        what, _, inner = str(error).replace("`", "").partition(" - at $")
        raise ConfigError(Problem(path + inner, what[0].lower() + what[1:])) from None


def _measured(raw: Any, type_: Any, path: str) -> Any:
    """Return ``raw`` with each duration and size in it as a number, and each path absolute."""
    bare, extra = unwrap(type_)
    try:
        if "unit" in extra and raw is not None:
            return measure(raw, extra["unit"])
        if "path" in extra and isinstance(raw, str | Path):
            return Path(raw).expanduser().absolute()
    except (ValueError, RuntimeError) as error:
        raise ConfigError(Problem(path, str(error))) from None
    inner = [it for it in get_args(bare) if it is not ...] or [Any]
    if isinstance(raw, Mapping):
        types = {field.encode_name: field.type for field in fields(bare)} if is_struct(bare) else {}
        return {key: _measured(value, types.get(key, inner[-1]), f"{path}.{key}") for key, value in raw.items()}
    if isinstance(raw, list | tuple):
        inner += inner[-1:] * len(raw)  # A tuple may have a type for each place; all else has one.
        return [_measured(value, inner[n], f"{path}.{n}") for n, value in enumerate(raw)]
    return raw


def unknown_plugins(settings: KernelSettings, installed: Collection[str]) -> list[Problem]:
    """Return a problem for each section whose plugin is not installed.

    One that is not to run is no problem, unless an installed one was meant, which then runs.
    """
    found = []
    for name, section in settings.plugins.items():
        meant = name.replace("_", "-").removeprefix("tta-")
        # Not all that is a little alike: "clock-tin" is no misspelt "clock", it just isn't installed.
        alike = [it for it in installed if not meant.startswith(f"{it}-")]
        if name not in installed and (section.enabled or close(meant, alike, 0.85)):
            what = "no plugin of that name is installed"
            otherwise = f"install what has it, such as tta-{meant}, or take the section out"
            hint = suggest(meant, alike, cutoff=0.75, otherwise=otherwise)
            found.append(settings.placed(Problem(f"plugins.{name}", what, hint)))
    return found
