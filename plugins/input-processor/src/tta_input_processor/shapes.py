"""Reading what follows a verb: where to, what, with what, to whom, about what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tta_world import Command, Entity

from . import going
from .names import Names
from .phrases import Slots, drop_preposition, segments, significant
from .verbs import Verb
from .words import ARTICLES

POCKETS = frozenset({"pocket", "pockets", "bag", "backpack", "rucksack", "satchel"})
"""Where the player puts what is simply taken along."""
_BY = frozenset({"with", "using"})
_COURTESY = frozenset({"thank", "apologise", "farewell", "greet"})
_ABOUT = frozenset({"about", "concerning", "regarding", "for", "of", "if", "whether", "where",
                    "what", "why", "how", "who", "when", "that", "which"})  # fmt: skip
_TO = frozenset({"to", "at", "with", "toward", "towards", "for"})


def read(verb: Verb, words: Sequence[str], names: Names) -> Command:
    """Read the words after a verb; the confidence says how much of them was understood."""
    rest = list(words)
    slots, confidence = _SHAPES[verb.shape](verb, rest, names)
    if verb.manner and verb.manner not in ("", "down"):
        slots = {**slots, "manner": Entity(text=verb.manner)}
    for role in ("person", "place", "target", "thing"):
        if role in slots:
            names.mention(slots[role])
    return Command(name=verb.command, slots=slots, confidence=round(max(0.0, confidence), 3))


def _plain(verb: Verb, words: list[str], names: Names) -> Slots:
    left = significant(words)
    if not left:
        return {}, 1.0
    return {}, 0.75 - 0.12 * min(5, len(left))


def _until(verb: Verb, words: list[str], names: Names) -> Slots:
    left = [word for word in significant(words) if word not in ("until", "till", "for", "it", "is")]
    if not left:
        return {}, 0.95
    return {"topic": Entity(text=left[-1], kind="topic")}, 0.8


def _one(verb: Verb, words: list[str], names: Names) -> Slots:
    slots: dict[str, Entity] = {}
    confidence = 0.95
    prefer = "character" if verb.command == "harm" else "thing"
    whole = names.find(words, prefer, verb.command) if words else None
    if whole is not None and (whole.id or whole.options) and whole.confidence >= 0.85:
        return _named(whole, {}), whole.confidence
    for number, (prep, part) in enumerate(segments(words, names)):
        if not significant(part) and not any(w in ("it", "them", "here", "there") for w in part):
            if prep in ("in", "inside", "under", "behind", "beneath") and not slots:
                slots["manner"] = Entity(text=prep)
            continue
        entity = names.find(part, prefer, verb.command)
        if entity is None:
            continue
        if prep in _BY or (prep in ("from", "off", "in", "on", "out") and "thing" in slots):
            role = "person" if entity.kind == "character" else "target"
            if role not in slots:
                slots[role] = entity
        elif not {"thing", "person", "place"} & set(slots):
            slots |= _named(entity, slots)
            if prep in ("in", "inside", "under", "behind", "beneath", "through"):
                slots["manner"] = Entity(text=prep)
        elif number == 1 and not prep:
            continue
        confidence = min(confidence, entity.confidence if entity.id or entity.options else 0.5)
    if not {"thing", "person", "place", "target"} & set(slots):
        return slots, 0.6
    return slots, confidence


def _named(entity: Entity, slots: Mapping[str, Entity]) -> dict[str, Entity]:
    role = {"character": "person", "place": "place"}.get(entity.kind, "thing")
    return {role: entity}


def _about(verb: Verb, words: list[str], names: Names) -> Slots:
    rest = drop_preposition(words)
    if not significant(rest) and not any(w in ("it", "them") for w in rest):
        return {}, 0.95
    entity = names.find(rest, "thing", verb.command)
    if entity is None or not entity.id:
        return {}, 0.7
    return _named(entity, {}), entity.confidence


def _rest(verb: Verb, words: list[str], names: Names) -> Slots:
    for _, part in segments(words, names):
        entity = names.find(part, "thing", "use") if significant(part) else None
        if entity is not None and entity.id:
            return _named(entity, {}), entity.confidence
    return {}, 0.95 if not significant(words) else 0.65


def _pair(verb: Verb, words: list[str], names: Names) -> Slots:
    """Read `X on Y`, `X to Y`, `Y X` and a lone `X`."""
    parts = [(prep, part) for prep, part in segments(words, names) if part]
    if not parts:
        return {}, 0.5
    slots: dict[str, Entity] = {}
    confidence = 0.95
    giving = verb.command in ("give", "show")
    first = parts[0][1]
    if giving and not parts[0][0] and (double := _person_then_thing(first, names)):
        slots = double
        parts = parts[1:]
    for prep, part in parts:
        if not significant(part) and not any(w in ("it", "them", "him", "her") for w in part):
            continue
        person = giving and (prep in _TO or "thing" in slots)
        if "thing" in slots and part[-1] in POCKETS:
            slots["target"] = Entity(text=part[-1])
            continue
        manner = verb.command if "thing" not in slots else "target"
        entity = names.find(part, "character" if person else "thing", manner)
        if entity is None:
            continue
        if "thing" not in slots and not (prep and not slots and giving):
            slots["thing"] = entity
        elif "person" not in slots and (entity.kind == "character" or (person and not entity.id)):
            slots["person"] = entity
        elif "target" not in slots:
            slots["target"] = entity
            if prep:
                slots["manner"] = Entity(text=prep)
        confidence = min(confidence, entity.confidence if entity.id or entity.options else 0.5)
    if verb.command == "give" and "person" not in slots and "target" not in slots:
        confidence = min(confidence, 0.6)
    if verb.command == "put" and "target" not in slots:
        confidence = min(confidence, 0.55)
    return slots, confidence


def _person_then_thing(words: list[str], names: Names) -> dict[str, Entity]:
    """Read `Bram the twine`: first somebody, then something."""
    for cut in range(1, min(4, len(words))):
        person = names.find(words[:cut], "character")
        if person is None or person.kind != "character":
            continue
        thing = names.find(words[cut:], "thing", "give")
        if thing is not None:
            return {"person": person, "thing": thing}
    return {}


def _talk(verb: Verb, words: list[str], names: Names) -> Slots:
    person, topic = _who_and_what(words, names)
    slots: dict[str, Entity] = {}
    if person is not None:
        slots["person"] = person
    if topic is not None and verb.command in ("talk", "ask", "help-with"):
        slots["topic"] = topic
    if verb.command in _COURTESY and person is not None and not person.id and len(words) > 1:
        # `sorry I said that`: what follows is no name.
        person = slots.pop("person") if person.kind != "several" else person
    if person is None:
        return slots, 0.9 if not significant(words) or topic is not None else 0.6
    known = person.id or person.options or person.kind == "several"
    return slots, person.confidence if known else 0.5


def _ask(verb: Verb, words: list[str], names: Names) -> Slots:
    person, topic = _who_and_what(words, names)
    slots: dict[str, Entity] = {}
    if person is not None and person.kind in ("character", "several"):
        slots["person"] = person
    elif person is not None and topic is None:
        topic = names.find(words, "thing") or person
    if topic is not None:
        slots["topic"] = topic
    return slots, 0.9 if "topic" in slots or "person" in slots else 0.6


def _tell(verb: Verb, words: list[str], names: Names) -> Slots:
    if words and words[0] in ("me", "us"):
        topic = _topic([w for w in words[1:] if w not in ("about", "of")], names)
        return ({"topic": topic} if topic else {}), 0.85
    return _ask(verb, words, names)


def _who_and_what(words: list[str], names: Names) -> tuple[Entity | None, Entity | None]:
    """Read `to Bram about the nets`, `Bram where the key is`, `about the nets`."""
    rest = list(words)
    while rest and rest[0] in _TO:
        rest = rest[1:]
    cut = next((at for at, word in enumerate(rest) if word in _ABOUT), len(rest))
    head = rest[:cut]
    tail = rest[cut:]
    while tail and tail[0] in _TO:
        tail = tail[1:]
    if tail and tail[0] in ("about", "concerning", "regarding", "for", "of", "that"):
        tail = tail[1:]
    if head and head[-1] in _TO:
        head = head[:-1]
    person: Entity | None = None
    for size in range(min(3, len(head)), 0, -1):
        found = names.find(head[:size], "character")
        if found is not None and (found.kind in ("character", "several") or found.options):
            person = found
            if size < len(head):
                tail = [*head[size:], *tail]
            break
    if person is None and head:
        person = names.find(head, "character")
    return person, _topic(tail, names)


def _topic(words: Sequence[str], names: Names) -> Entity | None:
    left = [word for word in words if word not in ARTICLES]
    if not left:
        return None
    text = " ".join(words)[:200]
    entity = names.find(list(words), "thing")
    if entity is not None and entity.id and entity.confidence >= 0.6:
        return Entity(text=text, kind=entity.kind, id=entity.id, confidence=entity.confidence)
    inner = names.within(list(words))
    if inner:
        return Entity(text=text, kind="topic", id=inner[0].id, confidence=0.7)
    return Entity(text=text, kind="topic", confidence=0.6)


def _say(verb: Verb, words: list[str], names: Names) -> Slots:
    slots: dict[str, Entity] = {}
    parts = segments(words, names)
    if len(parts) > 1 and parts[-1][0] in ("to", "at", "for"):
        person = names.find(parts[-1][1], "character")
        if person is not None and person.kind in ("character", "several"):
            slots["person"] = person
            words = words[: len(words) - len(parts[-1][1]) - 1]
    if words:
        slots["speech"] = Entity(text=" ".join(words)[:200], kind="speech")
    return slots, 0.85 if slots else 0.5


_SHAPES: Mapping[
    str, Callable[[Verb, list[str], Names], Slots]
] = {
    "plain": _plain, "until": _until, "look": _plain, "go": going.go, "enter": going.go,
    "follow": going.go, "leave": going.leave, "climb": going.climb, "one": _one,
    "about": _about, "rest": _rest, "put": _pair, "give": _pair, "use": _pair, "write": _one,
    "talk": _talk, "ask": _ask, "tell": _tell, "say": _say, "where": _one,
}  # fmt: skip
