"""One turn in the making: the world so far, what holds in it, and what is to be told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from tta_world import (
    PLAYER,
    Character,
    Command,
    Deed,
    Detail,
    Entity,
    Place,
    Thing,
    Weather,
    World,
    carried,
    lit,
    people,
    period,
    visible,
)

from .conditions import HOLDS
from .create import placed, roll
from .story import Story, Texts
from .terms import SOFT, Term, split, terms

HANDS = 10
"""How many things a player carries at most."""
_STARTS_AT = {"dawn": 5, "morning": 7, "midday": 11, "afternoon": 14, "dusk": 18, "night": 21}


class Turn:
    """A world while a turn goes on. Handlers replace parts of it and say what to tell."""

    def __init__(self, story: Story, world: World) -> None:
        self.story = story
        self.world = world
        self.opening = world.turn == 0
        self.began = period(world)
        self.arrived = False
        self.did: list[str] = []
        self.beats: list[str] = []
        self.gained = ""
        """The thing that came to the player last."""
        self.spent = 0
        """Minutes of story time that this turn takes."""
        self._details: list[Detail] = []

    # What is so ---------------------------------------------------------------------------------

    def holds(self, condition: Term) -> bool:
        """Tell whether a condition holds just now."""
        return HOLDS[condition.word](self, *condition.args)

    def all_hold(self, conditions: Iterable[str]) -> bool:
        """Tell whether every one of these holds, as written."""
        return all(self.holds(term) for text in conditions for term in terms(text, effects=False))

    def fitting(self, texts: Texts) -> Texts:
        """Keep the texts that are true now; one with hard conditions displaces those without."""
        hard: list[str] = []
        easy: list[str] = []
        for text in texts:
            conditions, prose = split(text)
            if all(self.holds(condition) for condition in conditions):
                known = hard if any(c.word not in SOFT for c in conditions) else easy
                known.append(prose)
        return tuple(hard or easy)

    def can_see(self, id: str) -> bool:
        """Tell whether a thing, a person or the place itself is at hand."""
        world = self.world
        if id in world.characters:
            return world.characters[id].at == world.player.at
        return id == world.player.at or any(thing.id == id for thing in visible(world))

    def at_hand(self) -> list[str]:
        """List what a player might turn to here: first what can be taken, then people."""
        world = self.world
        loose = [t.id for t in visible(world) if "scenery" not in t.traits and t.at != PLAYER]
        company = [person.id for person in people(world)] if lit(world) else []
        fixed = [t.id for t in visible(world) if "scenery" in t.traits and "backdrop" not in t.traits]
        return [*loose, *company, *fixed]

    # What changes -------------------------------------------------------------------------------

    def update(self, **values: Any) -> None:
        """Replace fields of the world."""
        self.world = msgspec.structs.replace(self.world, **values)

    def update_player(self, **values: Any) -> None:
        """Replace fields of the player."""
        self.update(player=msgspec.structs.replace(self.world.player, **values))

    def update_thing(self, id: str, **values: Any) -> None:
        """Replace fields of a thing."""
        thing = msgspec.structs.replace(self.world.things[id], **values)
        self.update(things={**self.world.things, id: thing})

    def update_person(self, id: str, **values: Any) -> None:
        """Replace fields of a character."""
        person = msgspec.structs.replace(self.world.characters[id], **values)
        self.update(characters={**self.world.characters, id: person})

    def set_state(self, id: str, *add: str, remove: tuple[str, ...] = ()) -> None:
        """Give a thing states, and take others from it."""
        states = [s for s in self.world.things[id].states if s not in remove]
        self.update_thing(id, states=tuple(dict.fromkeys([*states, *add])))

    def move(self, id: str, to: str) -> None:
        """Put a thing or a character somewhere; what finds no hand free, beside the player."""
        if id in self.world.characters:
            self.update_person(id, at=to)
            return
        if to == PLAYER and len(carried(self.world)) >= HANDS:
            to = self.world.player.at
        self.gained = id if to == PLAYER else self.gained
        self.update_thing(id, at=to)
        self.set_state(id, "moved", remove=("hidden", "worn") if to != PLAYER else ("hidden",))

    def restore(self, id: str) -> None:
        """Put a thing back where and as it was at first."""
        text = self.story.things[id]
        self.update_thing(id, at=placed(text.at, self.world.seed, id), states=text.states)

    def know(self, *places: str) -> None:
        """Let the player know of places."""
        player = self.world.player
        self.update_player(known=tuple(dict.fromkeys([*player.known, *places])))

    def turn_weather(self, weather: Weather) -> None:
        """Let the weather change before the player's eyes."""
        drift = self.story.threads.drift
        key = f"{weather}-{self.world.weather}"
        self.set_weather(weather)
        self.tell("drift", "weather", drift.get(key) or drift[weather], key)

    def set_weather(self, weather: Weather) -> None:
        """Let the weather change, and remember when it did."""
        self.update(weather=weather, weather_since=self.world.turn)

    def apply(self, effects: Iterable[str]) -> None:
        """Carry out effects, as written."""
        for text in effects:
            for effect in terms(text, effects=True):
                getattr(self, f"_do_{effect.word}")(*effect.args)

    # What is told -------------------------------------------------------------------------------

    def tell(self, aspect: str, about: str, texts: Texts, key: str = "") -> bool:
        """Let the narrator choose one of the fitting texts; False where there is none."""
        if fits := self.fitting(texts):
            self._details.append(Detail(aspect=aspect, about=about, texts=fits, key=key))
        return bool(fits)

    def take_details(self) -> tuple[Detail, ...]:
        """Return what has been told since the last call."""
        details = tuple(self._details)
        self._details = []
        return details

    def restart(self, world: World, details: tuple[Detail, ...]) -> None:
        """Go on from this world, with this told so far."""
        self.world = world
        self._details = list(details)

    def roll(self, label: str, sides: int) -> int:
        """Roll a die that falls the same way for the same world, turn and label."""
        return roll(self.world.seed, f"{self.world.turn}/{label}", sides)

    # Effects, by name ---------------------------------------------------------------------------

    def _do_flag(self, *names: str) -> None:
        self.update(flags=tuple(dict.fromkeys([*self.world.flags, *names])))

    def _do_beat(self, *ids: str) -> None:
        for id in ids:
            if id not in self.world.beats:
                self.update(beats=(*self.world.beats, id))
                self.beats.append(id)
                self.apply(self.story.beat(id).effects)

    def _do_set(self, id: str, state: str) -> None:
        self.set_state(id, state)

    def _do_unset(self, id: str, state: str) -> None:
        self.set_state(id, remove=(state,))

    def _do_move(self, id: str, to: str) -> None:
        self.move(id, to)

    def _do_restore(self, *ids: str) -> None:
        for id in ids:
            self.restore(id)

    def _do_know(self, *places: str) -> None:
        self.know(*places)

    def _do_reveal(self, place: str, direction: str) -> None:
        room = self.world.places[place]
        exits = tuple(msgspec.structs.replace(e, hidden=False) if e.direction == direction else e for e in room.exits)
        room = msgspec.structs.replace(room, exits=exits)
        self.update(places={**self.world.places, place: room})

    def _do_weather(self, weather: str) -> None:
        self.set_weather(cast("Weather", weather))

    def _do_time(self, name: str) -> None:
        """Go on to the next such time of day; not at all if it is that time already."""
        if period(self.world) != name:
            ahead = (_STARTS_AT[name] * 60 - self.world.minutes) % (24 * 60)
            self.update(minutes=self.world.minutes + ahead)

    def _do_companion(self, *ids: str) -> None:
        for id in ids:
            traits = self.world.characters[id].traits
            self.update_person(id, traits=tuple(dict.fromkeys([*traits, "companion"])))


Handled = Deed | None
Slots = Mapping[str, Entity]


def slot(command: Command, *roles: str) -> Entity | None:
    """Return the first of these roles that the player filled."""
    return next((command.slots[role] for role in roles if role in command.slots), None)


def found(turn: Turn, entity: Entity | None) -> Thing | Character | Place | None:
    """Return what an entity is in this world, if it is anything."""
    if entity is None or not entity.id:
        return None
    world = turn.world
    return world.things.get(entity.id) or world.characters.get(entity.id) or world.places.get(entity.id)
