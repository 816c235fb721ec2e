"""Numbers in the config of every plugin: none takes NaN, infinity, or what is below or beyond what makes sense."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

import pytest
from msgspec import Struct
from msgspec.structs import fields

from tta_kernel import ConfigError, KernelSettings, Plugin, PluginSettings
from tta_kernel.units import is_struct, unwrap
from tta_program import LayeredSettings

NO_NUMBERS: Mapping[str, Any] = {
    "NaN": math.nan, "infinity": math.inf, "minus infinity": -math.inf, "below 0": -1, "huge": 10**400, "a truth": True,
}  # fmt: skip
ANY_WHOLE_NUMBER = ("plugins.narrative-generator.config.seed", "plugins.world-builder.config.seed")
"""Where a number below 0 is as good as any other."""


class Number(NamedTuple):
    """A number that somebody may write into a config, and what stands around it."""

    plugin: str
    key: str
    config: Mapping[str, Any]


def installed(root: Path) -> list[EntryPoint]:
    """Return the plugins of this tree."""
    folders = {path.name for path in root.glob("plugins/*")}
    found = entry_points(group="tta.plugins")
    return [each for each in found if each.dist and each.dist.name.removeprefix("tta-") in folders]


def numbers(type_: Any, place: Sequence[str]) -> Iterator[Sequence[str]]:
    """Walk through all that a config may hold: Structs, unions, lists and mappings of them."""
    bare, _ = unwrap(type_)
    if is_struct(bare):
        for each in fields(bare):
            yield from numbers(each.type, [*place, each.encode_name])
    elif bare in (int, float):
        yield place
    elif get_origin(bare) in (Union, UnionType):
        for each in get_args(bare):
            yield from numbers(each, place)
    elif issubclass_of(bare, Mapping):
        yield from numbers(get_args(bare)[1], [*place, "{}"])
    elif issubclass_of(bare, Sequence):
        for each in get_args(bare):
            yield from numbers(each, [*place, "[]"])


def issubclass_of(type_: Any, kind: type) -> bool:
    origin = get_origin(type_)
    return isinstance(origin, type) and issubclass(origin, kind)


def written(place: Sequence[str], value: object) -> Any:
    """Return what a config would hold where only this number is written; its neighbours are left out."""
    if not place:
        return value
    first, *rest = place
    inner = written(rest, value)
    return [inner] if first == "[]" else {"any" if first == "{}" else first: inner}


def places(root: Path) -> dict[str, tuple[type[Struct], list[Sequence[str]]]]:
    found = {}
    for entry in installed(root):
        plugin: type[Plugin[Any]] = entry.load()
        found[entry.name] = (plugin.config_type, [*numbers(plugin.config_type, [])])
    return found


@pytest.mark.parametrize("settings", [KernelSettings, LayeredSettings])
@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
def test_no_config_takes_a_number_that_makes_no_sense(
    root: Path, settings: type[KernelSettings], value: object
) -> None:
    taken = []
    for plugin, (type_, keys) in places(root).items():
        for place in keys:
            key = ".".join((f"plugins.{plugin}.config", *place))
            if value == -1 and key in ANY_WHOLE_NUMBER:
                continue
            given = settings(plugins={plugin: PluginSettings(config=written(place, value))})
            # Without the program nobody knows the keys of mappings.
            where = key.replace("{}", "any").replace("[]", "0") if settings is LayeredSettings else plugin
            try:
                given.decode(plugin, type_)
            except ConfigError as exc:
                if any(where in str(problem) for problem in exc.problems):
                    continue
            taken.append(key)
    assert taken == []


def test_the_numbers_of_every_config_are_found(root: Path) -> None:
    found = {f"{plugin}.{'.'.join(place)}" for plugin, (_, keys) in places(root).items() for place in keys}
    assert {"messages.queues.{}.visibility", "redis.retry.times", "workflows.workflows.{}.steps.[].timeout"} <= found
