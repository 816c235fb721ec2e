"""Questions: to the story, to somebody in it, or to nobody in particular."""

from __future__ import annotations

from collections.abc import Sequence

from tta_world import Command, Entity

from . import tables
from .names import ANYONE, Names
from .tables import listed, phrases
from .verbs import begins
from .words import ARTICLES, CARELESS, COMMON, PREPOSITIONS

_TABLE = tables.questions()
_WHERE = phrases(_TABLE.where)
_ABOUT = phrases(_TABLE.about)
_WHO = phrases(_TABLE.who)
_WHAT = phrases(_TABLE.what)
_MAY = phrases(_TABLE.may)
_BLAME = phrases(_TABLE.blame)
_MUST = phrases(_TABLE.must)
_LIKE = {"sound": "listen", "smell": "smell", "feel": "touch", "taste": "taste", "look": "examine"}
_WELFARE = frozenset(listed(_TABLE.welfare))
_NAMING = frozenset(listed(_TABLE.naming))
_SENSED = {"sound": "listen", "noise": "listen", "smell": "smell", "scent": "smell"}
_OPINIONS = frozenset({"think", "know", "say", "feel", "believe", "like"})
_GOING = frozenset({"going", "headed", "heading", "go", "from", "come", "coming"})
_SEEING = frozenset({"see", "here", "around", "there", "happening", "on", "happened", "notice"})


def question(words: Sequence[str], names: Names, *, marked: bool) -> Command | None:
    """Read a question, or a request that sounds like one; None if it is neither."""
    text = " ".join(words)
    if text in _NAMING:
        return Command(name="ask", slots={"topic": Entity(text="name", kind="topic")}, confidence=0.9)
    if (opinion := _opinion(words, names)) is not None:
        return opinion
    if words[:1] == ("what",) and (sense := next((_SENSED[w] for w in words if w in _SENSED), "")):
        return Command(name=sense, confidence=0.8)
    if text in _WELFARE:
        talking = "doing" in text
        return Command(name="talk" if talking else "greet", confidence=0.9)
    for name, beginnings in (("may", _MAY), ("must", _MUST)):
        if any(tuple(words[: len(p)]) == p for p in beginnings):
            return Command(name=name, confidence=0.85)
    if words[:2] == ("what", "does") and words[-1] == "like" and words[-2] in _LIKE:
        entity = names.find(words[2:-2], "thing")
        if entity is not None and entity.id:
            role = {"character": "person", "place": "place"}.get(entity.kind, "thing")
            return Command(name=_LIKE[words[-2]], slots={role: entity}, confidence=0.9)
    about = next((p for p in _ABOUT if tuple(words[: len(p)]) == p), ())
    where = next((p for p in _WHERE if tuple(words[: len(p)]) == p), ())
    who = next((p for p in _WHO if tuple(words[: len(p)]) == p), ())
    if len(who) > len(where) and len(who) > len(about):
        return _who(words[len(who) :], names)
    if about and len(about) >= len(where):
        return _request(words[len(about) :], names, about)
    if where:
        return _where(words[len(where) :], names, marked=marked)
    if words and words[0] == "what" and _SEEING & set(words[1:]) and len(words) <= 7:
        return Command(name="look", confidence=0.85)
    if words and words[0] == "what" and {"hear", "listen"} & set(words[1:]):
        return Command(name="listen", confidence=0.9)
    for phrase in _WHAT:
        if tuple(words[: len(phrase)]) == phrase:
            return _what(words[len(phrase) :], names)
    if marked:
        return _wonder(words, names)
    return None


def blaming(words: Sequence[str]) -> Command | None:
    """Read `is it stupid to cry` and `am I a burden`: asked by somebody who fears a yes."""
    if not any(tuple(words[: len(p)]) == p for p in _BLAME):
        return None
    return Command(name="may", slots={"manner": Entity(text="blame")}, confidence=0.9)


def _opinion(words: Sequence[str], names: Names) -> Command | None:
    """Read `what does she think of Ines` and `does Bram know the way`: asked of who is named."""
    at = 1 if words[:1] == ("what",) else 0
    if words[at : at + 1] not in (("do",), ("does",), ("did",)):
        return None
    for size in (1, 2):
        said = words[at + 1 + size : at + 2 + size]
        person = names.find(words[at + 1 : at + 1 + size], "character")
        if person is None or person.kind != "character" or not said or said[0] not in _OPINIONS:
            continue
        rest = words[at + 2 + size :]
        while rest and rest[0] in ("of", "about", "on", "to"):
            rest = rest[1:]
        slots = {"person": person, **({"topic": _topic(rest, names)} if rest else {})}
        return Command(name="ask" if rest else "talk", slots=slots, confidence=0.85)
    return None


def _bare(words: Sequence[str]) -> list[str]:
    rest = [w for w in words if w not in ("now", "please", "here", "from", "is", "are", "located")]
    while rest and rest[0] in (PREPOSITIONS | {"that", "if"}) and len(rest) > 1:
        rest = rest[1:]
    return rest


def _where(words: Sequence[str], names: Names, *, marked: bool) -> Command | None:
    rest = _bare(words)
    if not [w for w in rest if w not in ARTICLES and w not in CARELESS]:
        if marked or not words:
            return Command(name="whereami", confidence=0.6)
        return None
    if rest and rest[0] in ANYONE:
        return Command(name="who", confidence=0.85)
    if rest in (["i"], ["we"], ["am", "i"]):
        return Command(name="whereami", confidence=0.95)
    if len(rest) > 1 and rest[-1] in _GOING:
        return Command(name="wonder", slots={"topic": _topic(words, names)}, confidence=0.7)
    entity = names.find(rest, "place") or Entity(text=" ".join(rest)[:200], confidence=0.3)
    if not entity.id:
        inner = names.within(rest, "place")
        entity = inner[0] if inner else entity
    names.mention(entity)
    role = {"character": "person", "thing": "thing"}.get(entity.kind, "place")
    if not entity.id:
        role = "thing"
    return Command(name="where", slots={role: entity}, confidence=0.9 if entity.id else 0.55)


def _who(words: Sequence[str], names: Names) -> Command:
    rest = _bare(words)
    entity = names.find(rest, "character") if rest else None
    nobody = entity is not None and not entity.id and not entity.options
    around = bool({"here", "there", "around", "nearby"} & set(words))
    if entity is None or entity.kind == "several" or rest in (["here"], ["there"]) or (nobody and around):
        return Command(name="who", confidence=0.85)
    if nobody and (len(rest) > 1 or rest[0] in COMMON):
        # `who built the wall`: no name, but a question.
        return Command(name="wonder", slots={"topic": _topic(words, names)}, confidence=0.6)
    names.mention(entity)
    if entity.kind in ("thing", "place"):
        return Command(name="wonder", slots={"topic": _topic(words, names)}, confidence=0.75)
    return Command(name="who", slots={"person": entity}, confidence=0.9 if entity.id else 0.55)


def _what(words: Sequence[str], names: Names) -> Command:
    rest = [word for word in words if word not in ("say", "mean", "like", "do")]
    entity = names.find(rest, "thing") if rest else None
    if entity is None:
        return Command(name="look", confidence=0.6)
    names.mention(entity)
    if not entity.id:
        return Command(name="wonder", slots={"topic": _topic(words, names)}, confidence=0.6)
    if "say" in words:
        return Command(name="read", slots={"thing": entity}, confidence=0.85)
    role = {"character": "person", "place": "place"}.get(entity.kind, "thing")
    return Command(name="what", slots={role: entity}, confidence=0.85)


def _request(words: Sequence[str], names: Names, phrase: tuple[str, ...]) -> Command | None:
    """Read `do you know about X`, `can I have X`, `tell me about X`."""
    if not words and phrase[:1] != ("tell",):
        return None
    topic = _topic(words, names)
    wanting = phrase[:2] in (("i", "would"), ("i", "need"), ("i", "want"), ("i", "will"))
    if wanting and (not topic.id or (begins(words) and not names.knows(words))):
        # `I would like a walk on the beach` is something to do.
        return None
    having = {"have", "borrow", "get", "give", "take", "hand", "pass", "bring", "lend"}
    if (wanting or having & set(phrase)) and topic.kind == "thing" and names.loose(topic.id):
        return Command(name="take", slots={"thing": topic}, confidence=0.8)
    return Command(name="ask", slots={"topic": topic}, confidence=0.85 if topic.id else 0.65)


def _wonder(words: Sequence[str], names: Names) -> Command:
    inner = names.within(words)
    person = next((e for e in inner if e.kind == "character"), None)
    slots = {"topic": _topic(words, names)}
    if person is not None and len(inner) == 1 and words[-1:] == person.text.split()[-1:]:
        slots["person"] = person
    return Command(name="wonder", slots=slots, confidence=0.6 if inner else 0.45)


def _topic(words: Sequence[str], names: Names) -> Entity:
    text = " ".join(words)[:200]
    entity = names.find(words, "thing") if words else None
    if entity is not None and entity.id and entity.confidence >= 0.6:
        return Entity(text=text, kind=entity.kind, id=entity.id, confidence=entity.confidence)
    inner = names.within(words)
    if inner:
        return Entity(text=text, kind="topic", id=inner[0].id, confidence=0.7)
    return Entity(text=text, kind="topic", confidence=0.5)
