"""Whether the numbers in snapshots are those that were declared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tta_kernel.hookspecs import Figure, figures, snapshot
from tta_kernel.kernel import Kernel

_FIGURE = re.compile(r"([a-z][a-z0-9-]*)\.[a-z][a-z0-9_]*")


async def wrong_figures(kernel: Kernel) -> list[str]:
    """Say what is wrong with the `figures` of running plugins, and with the numbers in their snapshots."""
    declared = kernel.hooks.collect(figures)
    answers = await kernel.ask(snapshot)
    found: list[str] = []
    owners: dict[str, str] = {}
    for plugin, given in declared.items():
        if isinstance(given, Exception):
            found.append(f"{plugin}: figures raised {given!r}")
            continue
        answer = answers.get(plugin, {})
        if isinstance(answer, Exception):
            found.append(f"{plugin}: snapshot raised {answer!r}")
            continue
        for figure in given:
            found += [f"{plugin}: {figure.name}: {why}" for why in _wrong(figure, plugin, answer)]
            other = owners.setdefault(figure.name, plugin)
            if other != plugin or sum(each.name == figure.name for each in given) > 1:
                found.append(f"{plugin}: {figure.name}: is declared twice, here and by {other}")
    return found


def _wrong(figure: Figure, plugin: str, answer: Mapping[str, Any]) -> Iterator[str]:
    named = _FIGURE.fullmatch(figure.name)
    if not named or not f"{plugin}-".startswith(f"{named[1]}-"):
        yield f"must read 'owner.what', the owner being {plugin!r} or the part of it before a hyphen"
    if figure.name not in answer:
        yield "is missing from the snapshot"
        return
    value = answer[figure.name]
    if isinstance(value, Mapping) != bool(figure.label):
        yield "must be " + ("a mapping from its label's values to numbers" if figure.label else "a number")
        return
    numbers = value.items() if isinstance(value, Mapping) else [("", value)]
    for key, number in numbers:
        if not isinstance(key, str):
            yield f"its label has the value {key!r}, which is no text"
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            yield f"{number!r} is no finite number"
