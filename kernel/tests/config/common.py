"""The Structs that the tests of settings read, and short ways to their problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from tta_kernel import ConfigError, Duration, PluginSettings, Secret, Size
from tta_program import LayeredSettings, load

Write = Callable[..., Path]
REDACTED = "<redacted>"


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """What every config Struct is."""


class Limits(Strict, frozen=True):
    per_minute: Annotated[int, Meta(ge=1)] = 60
    pause: Duration = 1.0


class Picky(Strict, frozen=True):
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low lies above high")


class Store(Strict, frozen=True):
    url: str
    size: Size = 0
    timeout: Duration = 5.0
    password: Secret = ""
    retries: int = 3
    limits: Limits = Limits()
    rules: list[Limits] = []
    by_name: dict[str, Limits] = {}
    note: str | None = None
    mode: Literal["fast", "safe"] = "safe"
    anything: Any = None


def settings_of(config: Mapping[str, Any]) -> LayeredSettings:
    return LayeredSettings(plugins={"store": PluginSettings(config=dict(config))})


def decoded(**config: Any) -> Store:
    return settings_of({"url": "here", **config}).decode("store", Store)


def problems_in(config: Mapping[str, Any], type_: type[Struct] = Store) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings_of(config).decode("store", type_)
    return [str(problem) for problem in caught.value.problems]


def problem_in(config: Mapping[str, Any], type_: type[Struct] = Store) -> str:
    [problem] = problems_in(config, type_)
    return problem


def load_problems(folder: Path | None, environment: str | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, environment, environ)
    return [str(problem) for problem in caught.value.problems]


def load_problem(folder: Path | None, environment: str | None = None, **environ: str) -> str:
    [problem] = load_problems(folder, environment, **environ)
    return problem
