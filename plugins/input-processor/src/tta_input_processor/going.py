"""Where to: directions, places, and people to go and see."""

from __future__ import annotations

from tta_world import Entity

from .names import ANYONE, Names
from .phrases import Slots, direction, drop_preposition, segments, significant
from .spelling import Spelling
from .verbs import Verb
from .words import CARELESS, COMPASS, DIRECTIONS

_INTO = frozenset({"in", "into", "inside", "out", "outside", "up", "down", "upstairs",
                   "downstairs"})  # fmt: skip
_WAYS = Spelling({*COMPASS, "back", "upstairs", "downstairs", "inside", "outside"})
_GOALS = frozenset({"along", "to", "toward", "towards", "into", "onto", "across", "over"})
_TO = frozenset({"to", "at", "toward", "towards", "for", "into"})


def go(verb: Verb, words: list[str], names: Names) -> Slots:
    """Read what follows `go`: a direction, a place, a person, or several of these."""
    words = [_correct_direction(word, names) for word in words]
    left = [word for word in words if word not in CARELESS or word in DIRECTIONS]
    if ANYONE & set(left[-2:]) and not names.knows(left):
        # `to the nearest person`, `to somebody`.
        return {"person": Entity(text=left[-1], kind="several", confidence=0.8)}, 0.8
    if not significant(left) and not any(word in DIRECTIONS for word in left):
        if verb.command == "go" and not any(word in ("there", "here") for word in words):
            return {"direction": Entity(text="on", kind="direction", id="on", confidence=0.7)}, 0.7
        place = names.find(words, "place") if words else None
        return ({"place": place}, 0.85) if place else ({}, 0.7)
    if left[0] in ("back", "home") and len(left) > 1 and left[1] in ("to", "in", "into", "down"):
        left = left[1:]
    if left == ["back"]:
        return {"direction": Entity(text="back", kind="direction", id="back")}, 1.0
    if (entity := names.find(left, "place")) and entity.id and entity.confidence >= 0.9:
        return _where(entity), entity.confidence
    best: tuple[dict[str, Entity], float] | None = None
    goal: tuple[dict[str, Entity], float] | None = None
    turned: Entity | None = None
    for prep, part in segments(left, names):
        way = direction(prep) if prep in _INTO else None
        if prep in ("up", "down", "in", "out", "on", "along"):
            turned = turned or direction(prep)
        if part and part[-1] in COMPASS and (found := direction(part[-1])):
            return {"direction": found}, 0.95
        if part and part[0] in DIRECTIONS and part[0] not in _INTO:
            turned = turned or direction(part[0])
            part = part[1:]
        if not significant(part) and "there" not in part:
            turned = turned or way
            continue
        entity = names.find(part, "place")
        if entity is None:
            continue
        if prep in ("up", "down") and _leads(entity, names):
            continue
        slots = _where(entity)
        if prep in ("along", "around", "about", "through", "across"):
            slots["manner"] = Entity(text=prep)
        if (entity.id or entity.options) and (goal is None or prep in _TO):
            # Of `down the lane towards the village` the last is where it goes.
            goal = slots, entity.confidence
        best = best or (slots, 0.45)
    if goal is not None:
        return goal
    if turned is not None and (best is None or turned.id in ("up", "down", "in", "out")):
        return {"direction": turned}, 0.95 if best is None else 0.6
    return best or ({}, 0.4)


def _leads(entity: Entity, names: Names) -> bool:
    """Tell whether `up the stairs` means a way from here rather than somewhere of that name."""
    return entity.kind == "thing" or (entity.kind == "place" and not names.near(entity.id))


def _correct_direction(word: str, names: Names) -> str:
    """Mend a slip in a word for a direction."""
    if word in names.spelling or word in ANYONE:
        return word
    return _WAYS.correct(word) or word


def _where(entity: Entity) -> dict[str, Entity]:
    role = {"character": "person", "thing": "thing"}.get(entity.kind, "place")
    return {role: entity}


def leave(verb: Verb, words: list[str], names: Names) -> Slots:
    """Read what follows `leave`."""
    left = significant(words)
    if words[:1] and words[0] in _GOALS:
        # `go out along the beach` goes there, and doesn't leave it.
        return {}, 0.2
    if not left or left == ["out"]:
        return {}, 0.95
    if left[0] in COMPASS or left[0] in ("up", "down"):
        return {}, 0.5
    entity = names.find(drop_preposition(words), "place")
    if entity is None:
        return {}, 0.8
    if entity.kind == "thing" and names.holds(entity.id):
        # `leave the shell here` is putting it down.
        return {}, 0.2
    return _where(entity), entity.confidence


def climb(verb: Verb, words: list[str], names: Names) -> Slots:
    """Read what follows `climb`."""
    turned = direction("down" if verb.manner == "down" else "up")
    assert turned is not None
    rest = drop_preposition(words)
    left = significant(rest)
    if not left:
        return {"direction": turned}, 0.95
    if left[-1] in COMPASS:
        return {}, 0.1
    entity = names.find(rest, "thing")
    if entity is None or (entity.kind == "place" and _leads(entity, names)):
        return {"direction": turned}, 0.8
    slots = _where(entity)
    return {**slots, "direction": turned}, max(0.6, entity.confidence)
