"""The end of a turn: time goes by, the weather drifts, the story turns, threads stay open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import structs

from tta_world import (
    PLAYER,
    Character,
    Deed,
    Delta,
    Detail,
    Focus,
    Place,
    Thing,
    Weather,
    World,
    here,
    lit,
    people,
    period,
    visible,
)

from .turn import Turn

_MINUTES = 3
"""How long a turn takes that doesn't say otherwise."""
_TIMELESS = frozenset({"help", "inventory", "whereami", "save", "quit", "repeat", "undo", "score",
                       "restart", "unclear", "nothing", "time", "weather", "suggest"})  # fmt: skip
_NEXT: Mapping[Weather, tuple[Weather, ...]] = {
    "clear": ("breezy", "cloudy"),
    "breezy": ("clear", "cloudy"),
    "cloudy": ("clear", "rainy", "breezy", "misty"),
    "misty": ("clear", "cloudy"),
    "rainy": ("cloudy", "clear"),
}
_SETTLED = 6
_DRIFT = 7
"""The weather stays for so many turns at least; then it changes about every so many."""


def pass_time(turn: Turn, deeds: Sequence[Deed]) -> None:
    """Let story time and the weather go on, and tell of them where they can be seen."""
    if all(deed.name in _TIMELESS for deed in deeds):
        return
    turn.update(minutes=turn.world.minutes + _MINUTES + turn.spent)
    now = period(turn.world)
    outdoors = "outdoors" in here(turn.world).traits
    if now != turn.began:
        turn.tell("drift", "time", turn.story.threads.periods[now], now)
        return
    settled = turn.world.turn - turn.world.weather_since >= _SETTLED
    if outdoors and settled and turn.roll("drift", _DRIFT) == 0:
        choices = _NEXT[turn.world.weather]
        turn.turn_weather(choices[turn.roll("weather", len(choices))])


def pass_beats(turn: Turn) -> tuple[tuple[Detail, ...], bool]:
    """Let the story turn where its conditions hold; return what to tell, and whether it ends."""
    for beat in turn.story.threads.beats:
        if beat.when and beat.id not in turn.world.beats and turn.all_hold(beat.when):
            turn.apply((f"beat {beat.id}",))
    details = []
    ending = False
    for id in turn.beats:
        beat = turn.story.beat(id)
        ending = ending or beat.ending
        if fits := turn.fitting(beat.texts):
            details.append(Detail(aspect="beat", about=id, texts=fits))
    return tuple(details[:6]), ending


def nudges(turn: Turn) -> tuple[Detail, ...]:
    """Name up to three threads that are open."""
    found = []
    for number, nudge in enumerate(turn.story.threads.nudges):
        if turn.all_hold(nudge.when) and (fits := turn.fitting(nudge.texts)):
            found.append(Detail(aspect="nudge", about=f"nudge-{number}", texts=fits))
        if len(found) == 3:
            break
    return tuple(found)


def notice(turn: Turn) -> tuple[str, ...]:
    """Mark what is in view as seen; return what is so for the first time."""
    player = turn.world.player
    ids = [thing.id for thing in visible(turn.world)]
    if lit(turn.world):
        ids += [person.id for person in people(turn.world)]
    fresh = tuple(id for id in dict.fromkeys(ids) if id not in player.seen)
    if fresh:
        turn.update_player(seen=(*player.seen, *fresh))
    return fresh[:48]


def attend(turn: Turn, deed: Deed) -> None:
    """Let `it`, `they` and `there` mean what the deed was about."""
    focus = turn.world.player.focus
    thing = deed.thing or (deed.nearby[0] if deed.name == "search" and deed.nearby else "")
    thing = thing or (deed.topic if deed.topic in turn.world.things else "")
    thing = turn.gained or thing
    turn.gained = ""
    loose = [d.about for d in deed.details if d.aspect == "lies"]
    if not thing and loose:
        thing = loose[-1]
    person = deed.person
    if not person and deed.arrived:
        company = people(turn.world)
        person = company[0].id if len(company) == 1 else ""
    place = deed.target if deed.reason and deed.arrived else deed.place
    turn.update_player(
        focus=Focus(
            thing=thing if thing in turn.world.things else focus.thing,
            character=person or focus.character,
            place=place if place in turn.world.places else focus.place,
        )
    )


def deltas(before: World, after: World) -> tuple[Delta, ...]:
    """List what differs between two states of a world, value by value."""
    found = list(_differences(before, after))
    return tuple(found[:96])


def _differences(before: World, after: World) -> Iterator[Delta]:
    for name in ("flags", "beats", "minutes", "weather"):
        yield from _delta(name, getattr(before, name), getattr(after, name))
    for name in ("at", "name", "posture", "known", "feelings"):
        old = getattr(before.player, name)
        new = getattr(after.player, name)
        yield from _delta(f"{PLAYER}.{name}", old, new)
    groups: tuple[tuple[str, Mapping[str, Place | Thing | Character],
                        Mapping[str, Place | Thing | Character]], ...] = (
        ("places", before.places, after.places),
        ("things", before.things, after.things),
        ("characters", before.characters, after.characters),
    )  # fmt: skip
    for group, olds, news in groups:
        for id, new in news.items():
            old = olds.get(id)
            if old is None or old is new:
                continue
            for field, value in structs.asdict(new).items():
                yield from _delta(f"{group}.{id}.{field}", getattr(old, field), value)


def _delta(path: str, old: object, new: object) -> Iterator[Delta]:
    if old == new:
        return
    if isinstance(old, tuple) and isinstance(new, tuple):
        # A list is told by what it lost and what it won.
        lost = [item for item in old if item not in new]
        won = [item for item in new if item not in old]
        yield Delta(path=path, before=_text(lost), after=_text(won))
    else:
        yield Delta(path=path, before=str(old)[:240], after=str(new)[:240])


def _text(items: list[object]) -> str:
    names = [
        f"{item.direction} to {item.to}" if hasattr(item, "direction") and hasattr(item, "to")
        else str(item)
        for item in items
    ]  # fmt: skip
    return " ".join(names)[:240]
