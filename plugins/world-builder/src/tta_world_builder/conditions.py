"""What the conditions in a story's YAML mean, by name; `terms` says how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tta_world import PLAYER, World, here, holder, lit, period, visible


class Moment(Protocol):
    """What conditions ask about: the world as it stands within a turn, and what the turn has come to so far."""

    @property
    def world(self) -> World:
        """The world so far."""

    @property
    def opening(self) -> bool:
        """Whether the story begins with this turn."""

    @property
    def arrived(self) -> bool:
        """Whether the player has come to another place."""

    @property
    def did(self) -> Sequence[str]:
        """What the player has done, by the names of actions."""

    def can_see(self, id: str, /) -> bool:
        """Tell whether a thing, a person or the place itself is at hand."""


def _day(now: Moment) -> bool:
    return period(now.world) != "night"


def _dry(now: Moment) -> bool:
    return now.world.weather != "rainy"


def _fair(now: Moment) -> bool:
    return now.world.weather in ("clear", "breezy")


def _period(now: Moment, *names: str) -> bool:
    return period(now.world) in names


def _weather(now: Moment, *names: str) -> bool:
    return now.world.weather in names


def _flag(now: Moment, *names: str) -> bool:
    return all(name in now.world.flags for name in names)


def _not_flag(now: Moment, *names: str) -> bool:
    return all(name not in now.world.flags for name in names)


def _beat(now: Moment, *ids: str) -> bool:
    return all(id in now.world.beats for id in ids)


def _nobeat(now: Moment, *ids: str) -> bool:
    return all(id not in now.world.beats for id in ids)


def _has(now: Moment, *ids: str) -> bool:
    return all(holder(now.world, id) == PLAYER for id in ids)


def _has_not(now: Moment, *ids: str) -> bool:
    return all(holder(now.world, id) != PLAYER for id in ids)


def _is(now: Moment, id: str, state: str) -> bool:
    return state in now.world.things[id].states


def _isnt(now: Moment, id: str, state: str) -> bool:
    return state not in now.world.things[id].states


def _at(now: Moment, *places: str) -> bool:
    return now.world.player.at in places


def _not_at(now: Moment, *places: str) -> bool:
    return now.world.player.at not in places


def _visited(now: Moment, *places: str) -> bool:
    return all(place in now.world.player.visits for place in places)


def _near(now: Moment, *ids: str) -> bool:
    return all(now.can_see(id) for id in ids)


def _away(now: Moment, *ids: str) -> bool:
    return not any(now.can_see(id) for id in ids)


def _with(now: Moment, *ids: str) -> bool:
    return all(now.world.characters[id].at == now.world.player.at for id in ids)


def _met(now: Moment, *ids: str) -> bool:
    return all(now.world.characters[id].met for id in ids)


def _unmet(now: Moment, *ids: str) -> bool:
    return not any(now.world.characters[id].met for id in ids)


def _told(now: Moment, id: str, topic: str) -> bool:
    return topic in now.world.characters[id].told


def _companion(now: Moment, *ids: str) -> bool:
    return all("companion" in now.world.characters[id].traits for id in ids)


def _not_companion(now: Moment, *ids: str) -> bool:
    return not any("companion" in now.world.characters[id].traits for id in ids)


def _opening(now: Moment) -> bool:
    return now.opening


def _arrived(now: Moment) -> bool:
    return now.arrived


def _did(now: Moment, *names: str) -> bool:
    return any(name in now.did for name in names)


def _lit(now: Moment) -> bool:
    return lit(now.world)


def _outside(now: Moment) -> bool:
    return "outdoors" in here(now.world).traits


def _fire(now: Moment) -> bool:
    return any("flame" in thing.traits for thing in visible(now.world))


def _never(now: Moment) -> bool:
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
