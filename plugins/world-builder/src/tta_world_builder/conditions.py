"""What the conditions in a story's YAML mean, by name; `terms` says how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tta_world import PLAYER, here, holder, lit, period, visible

if TYPE_CHECKING:
    from .turn import Turn


def _day(turn: Turn) -> bool:
    return period(turn.world) != "night"


def _dry(turn: Turn) -> bool:
    return turn.world.weather != "rainy"


def _fair(turn: Turn) -> bool:
    return turn.world.weather in ("clear", "breezy")


def _period(turn: Turn, *names: str) -> bool:
    return period(turn.world) in names


def _weather(turn: Turn, *names: str) -> bool:
    return turn.world.weather in names


def _flag(turn: Turn, *names: str) -> bool:
    return all(name in turn.world.flags for name in names)


def _not_flag(turn: Turn, *names: str) -> bool:
    return all(name not in turn.world.flags for name in names)


def _beat(turn: Turn, *ids: str) -> bool:
    return all(id in turn.world.beats for id in ids)


def _nobeat(turn: Turn, *ids: str) -> bool:
    return all(id not in turn.world.beats for id in ids)


def _has(turn: Turn, *ids: str) -> bool:
    return all(holder(turn.world, id) == PLAYER for id in ids)


def _has_not(turn: Turn, *ids: str) -> bool:
    return all(holder(turn.world, id) != PLAYER for id in ids)


def _is(turn: Turn, id: str, state: str) -> bool:
    return state in turn.world.things[id].states


def _isnt(turn: Turn, id: str, state: str) -> bool:
    return state not in turn.world.things[id].states


def _at(turn: Turn, *places: str) -> bool:
    return turn.world.player.at in places


def _not_at(turn: Turn, *places: str) -> bool:
    return turn.world.player.at not in places


def _visited(turn: Turn, *places: str) -> bool:
    return all(place in turn.world.player.visits for place in places)


def _near(turn: Turn, *ids: str) -> bool:
    return all(turn.can_see(id) for id in ids)


def _away(turn: Turn, *ids: str) -> bool:
    return not any(turn.can_see(id) for id in ids)


def _with(turn: Turn, *ids: str) -> bool:
    return all(turn.world.characters[id].at == turn.world.player.at for id in ids)


def _met(turn: Turn, *ids: str) -> bool:
    return all(turn.world.characters[id].met for id in ids)


def _unmet(turn: Turn, *ids: str) -> bool:
    return not any(turn.world.characters[id].met for id in ids)


def _told(turn: Turn, id: str, topic: str) -> bool:
    return topic in turn.world.characters[id].told


def _companion(turn: Turn, *ids: str) -> bool:
    return all("companion" in turn.world.characters[id].traits for id in ids)


def _not_companion(turn: Turn, *ids: str) -> bool:
    return not any("companion" in turn.world.characters[id].traits for id in ids)


def _opening(turn: Turn) -> bool:
    return turn.opening


def _arrived(turn: Turn) -> bool:
    return turn.arrived


def _did(turn: Turn, *names: str) -> bool:
    return any(name in turn.did for name in names)


def _lit(turn: Turn) -> bool:
    return lit(turn.world)


def _outside(turn: Turn) -> bool:
    return "outdoors" in here(turn.world).traits


def _fire(turn: Turn) -> bool:
    return any("flame" in thing.traits for thing in visible(turn.world))


def _never(turn: Turn) -> bool:
    return False


HOLDS: Mapping[str, Callable[..., bool]] = {
    "day": _day,
    "dry": _dry,
    "fair": _fair,
    "period": _period,
    "weather": _weather,
    "flag": _flag,
    "not-flag": _not_flag,
    "beat": _beat,
    "nobeat": _nobeat,
    "has": _has,
    "has-not": _has_not,
    "is": _is,
    "isnt": _isnt,
    "at": _at,
    "not-at": _not_at,
    "visited": _visited,
    "near": _near,
    "away": _away,
    "with": _with,
    "met": _met,
    "unmet": _unmet,
    "told": _told,
    "companion": _companion,
    "not-companion": _not_companion,
    "opening": _opening,
    "arrived": _arrived,
    "did": _did,
    "lit": _lit,
    "outside": _outside,
    "fire": _fire,
    "never": _never,
}
