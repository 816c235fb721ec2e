"""The names in a world, and which of them a player means: exactly, nearly, or mistyped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product

from tta_world import (
    PLAYER,
    Entity,
    EntityKind,
    Thing,
    World,
    here,
    known,
    lit,
    people,
    visible,
)

from .spelling import Spelling
from .words import ARTICLES, CARELESS, PREPOSITIONS

_IT = frozenset({"it", "them", "that", "this", "these", "those", "one"})
_WHO = frozenset({"him", "her", "them", "she", "he", "they"})
PRONOUNS = _IT | _WHO
ANYONE = frozenset({"someone", "somebody", "anyone", "anybody", "everyone", "everybody", "people",
                     "folk", "person", "you"})  # fmt: skip
_ANY = frozenset({"everything", "all", "anything", "something", "stuff", "things"})
_MODALS = frozenset({("can",), ("light",), ("watch",), ("stop",), ("point",), ("top",), ("head",)})
"""Names that are more often another kind of word, in the middle of a sentence."""
_SPAN = 12
"""How many words are looked through for a name."""
_NOISE = ARTICLES | CARELESS
Index = Mapping[tuple[str, ...], Mapping[str, float]]
"""What each phrase names, by id, and how well."""


class Names:
    """An index of everything in a world that has a name, for one parse."""

    def __init__(self, world: World | None) -> None:
        self.world = world
        self._index: Index = {}
        self._near: dict[str, int] = {}
        self.mentioned: dict[str, str] = {}
        """The latest thing, character and place named in this parse, by kind."""
        if world is not None:
            self._read(world)
        self.spelling = Spelling(word for phrase in self._index for word in phrase)

    def _read(self, world: World) -> None:
        groups = (world.places, world.things, world.characters)
        self._index = _indexed(tuple((it.id, it.name, it.aliases) for group in groups for it in group.values()))
        near = self._near
        for id in known(world):
            near[id] = 2
        for id in world.player.seen:
            near[id] = 2
        for exit in here(world).exits:
            if not exit.hidden:
                near[exit.to] = 3
        for thing in world.things.values():
            if thing.at == world.player.at and "hidden" not in thing.states:
                # Too dark to see, but one may well speak of it.
                near[thing.id] = 3
        for thing in visible(world):
            near[thing.id] = 4 if "backdrop" not in thing.traits else 3
        if lit(world):
            for person in people(world):
                near[person.id] = 4
        near[world.player.at] = 3

    # Looking names up ---------------------------------------------------------------------------

    def kind(self, id: str) -> EntityKind:
        """Return what an id stands for."""
        world = self.world
        if world is not None:
            if id in world.things:
                return "thing"
            if id in world.characters:
                return "character"
            if id in world.places:
                return "place"
        return "words"

    def find(self, words: Sequence[str], prefer: str = "thing", verb: str = "") -> Entity | None:
        """Return what these words name; None if they name nothing at all, such as articles."""
        text = " ".join(words)[:200]
        if (entity := self._pronoun(words, text, prefer)) is not None:
            return entity
        bare = [word for word in words if word not in _NOISE]
        exact = self._pick(tuple(words), text, prefer, verb, 1.0)
        if exact is not None:
            return exact
        if not bare:
            return None
        return (
            self._pick(tuple(bare), text, prefer, verb, 1.0)
            or self._part(bare[:_SPAN], text, prefer, verb)
            or self._mistyped(bare[:_SPAN], text, prefer, verb)
            or Entity(text=" ".join(bare)[:200], confidence=0.3)
        )

    def knows(self, words: Sequence[str]) -> bool:
        """Tell whether these words, but for articles, are exactly a name."""
        bare = tuple(word for word in words if word not in ARTICLES)
        return bool(bare) and (bare in self._index or tuple(words) in self._index)

    def near(self, id: str) -> bool:
        """Tell whether the player could know of this: it is here, next door, seen, or heard of."""
        return id in self._near

    def holds(self, id: str) -> bool:
        """Tell whether the player carries this."""
        thing = self.world.things.get(id) if self.world is not None else None
        return thing is not None and thing.at == PLAYER

    def loose(self, id: str) -> bool:
        """Tell whether this lies about here and could be taken."""
        if self.world is None or id not in self.world.things:
            return False
        thing = self.world.things[id]
        return thing.at not in self.world.characters and thing in visible(self.world)

    def spans(self, words: Sequence[str]) -> set[int]:
        """Return the positions of words that belong to a name of several words."""
        places = [at for at, word in enumerate(words) if word not in ARTICLES]
        covered: set[int] = set()
        for first in range(len(places)):
            for size in range(min(5, len(places) - first), 1, -1):
                window = places[first : first + size]
                if tuple(words[at] for at in window) in self._index:
                    covered.update(window)
                    break
        return covered

    def within(self, words: Sequence[str], prefer: str = "thing") -> list[Entity]:
        """Return everything that is named exactly anywhere in a stretch of words."""
        found: list[Entity] = []
        at = 0
        while at < len(words):
            for size in range(min(4, len(words) - at), 0, -1):
                phrase = tuple(words[at : at + size])
                if phrase in self._index and phrase not in _MODALS:
                    entity = self._pick(phrase, " ".join(phrase), prefer, "", 0.9)
                    if entity is not None:
                        found.append(entity)
                    at += size
                    break
            else:
                at += 1
        return found

    def mention(self, entity: Entity) -> None:
        """Let later pronouns mean this."""
        if entity.id and entity.kind in ("thing", "character", "place"):
            self.mentioned[entity.kind] = entity.id

    def _pronoun(self, words: Sequence[str], text: str, prefer: str) -> Entity | None:
        if not words:
            return None
        bare = [word for word in words if word not in CARELESS] or list(words)
        word = bare[0]
        if len(bare) > 1:
            return None
        if prefer == "character" and word in ANYONE:
            return Entity(text=text, kind="several", confidence=0.9)
        if word in _WHO and (prefer == "character" or word not in _IT):
            thing = self._referent("thing", text) if word in _IT else None
            unknown = Entity(text=text, confidence=0.3) if prefer == "character" else None
            return self._person_meant(word, text) or thing or unknown
        if word in _IT:
            first, second = ("place", "thing") if prefer == "place" else ("thing", "place")
            return self._referent(first, text) or self._referent(second, text)
        if word == "there":
            return self._referent("place", text)
        if word == "here" and self.world is not None:
            return Entity(text=text, kind="place", id=self.world.player.at, confidence=0.9)
        if word in _ANY:
            return Entity(text=text, kind="several", confidence=0.9)
        return None

    def _person_meant(self, word: str, text: str) -> Entity | None:
        """Return whom `she` means: who was spoken of last, or who else is here."""
        world = self.world
        if world is None:
            return None
        wanted = {"him": "he", "her": "she"}.get(word, word)
        near = [person.id for person in people(world)] if lit(world) else []
        last = self.mentioned.get("character") or world.player.focus.character
        # Somebody talked about is less likely meant than somebody who could answer.
        order = (last, *near) if last in near else (*near, last)
        for id in order:
            person = world.characters.get(id)
            if person is not None and (wanted in person.traits or wanted in ("they", "them")):
                return Entity(text=text, kind="character", id=id, confidence=0.85)
        return None

    def _referent(self, kind: str, text: str) -> Entity | None:
        id = self.mentioned.get(kind, "")
        if not id and self.world is not None:
            id = str(getattr(self.world.player.focus, kind))
        if not id and kind == "thing":
            id = self._only_loose_thing()
        if not id:
            return Entity(text=text, confidence=0.2) if kind == "place" else None
        return Entity(text=text, kind=self.kind(id), id=id, confidence=0.85)

    def _only_loose_thing(self) -> str:
        """Return the one thing that lies about here, if there is no other."""
        if self.world is None:
            return ""
        loose = [thing.id for thing in visible(self.world) if "portable" in thing.traits and self.loose(thing.id)]
        return loose[0] if len(loose) == 1 else ""

    def _pick(self, phrase: tuple[str, ...], text: str, prefer: str, verb: str, value: float) -> Entity | None:
        ids = self._index.get(phrase)
        if not ids:
            return None
        ranked = sorted(ids, key=lambda id: self._rank(id, ids[id], prefer, verb), reverse=True)
        best = ranked[0]
        top = self._rank(best, ids[best], prefer, verb)
        equals = [id for id in ranked if self._rank(id, ids[id], prefer, verb) == top]
        near = self._near.get(best, 0)
        confidence = value * ids[best] * (1.0 if near >= 3 else 0.9 if near else 0.75)
        if len(equals) > 1 and near >= 3:
            return Entity(text=text, confidence=0.4, options=tuple(equals[:8]))
        return Entity(text=text, kind=self.kind(best), id=best, confidence=round(confidence, 3))

    def _rank(self, id: str, value: float, prefer: str, verb: str) -> tuple[int, ...]:
        kind = self.kind(id)
        near = self._near.get(id, 0)
        fits = int(kind == prefer)
        focus = int(self.mentioned.get(kind) == id)
        thing = self.world.things.get(id) if self.world is not None else None
        suits = _suitability(thing, verb) if thing is not None else 0
        if prefer in ("place", "character"):
            # A far place is more likely gone to than a near thing.
            return (fits, min(near, 3), suits, focus, int(value * 100))
        return (near >= 3, fits, near, suits, focus, int(value * 100))

    def _part(self, words: list[str], text: str, prefer: str, verb: str) -> Entity | None:
        """Leave adjectives off the front, or afterthoughts off the end, until a name is left."""
        for start in range(1, len(words)):
            if words[start - 1] in PREPOSITIONS:
                # What stands before a preposition is no adjective.
                break
            if found := self._pick(tuple(words[start:]), text, prefer, verb, 0.85):
                return found
        for end in range(len(words) - 1, 0, -1):
            if found := self._pick(tuple(words[:end]), text, prefer, verb, 0.7):
                return found
        if len(words) >= 3:
            for start in range(1, len(words) - 1):
                for end in range(len(words) - 1, start, -1):
                    if found := self._pick(tuple(words[start:end]), text, prefer, verb, 0.55):
                        return found
        return None

    def _mistyped(self, words: list[str], text: str, prefer: str, verb: str) -> Entity | None:
        # `mending` is what somebody does, and no slip of a name.
        near = [() if word.endswith("ing") else self.spelling.near(word) for word in words[:6]]
        near = [found or (word,) for found, word in zip(near, words, strict=False)]
        readings = [list(reading) for reading in product(*near)][:9]
        if len(words) == 2:
            readings += [[joined] for joined in self.spelling.near("".join(words))]
        found = []
        for reading in readings:
            if reading != words:
                found.append(self._pick(tuple(reading), text, prefer, verb, 0.8))
                found.append(self._part(reading, text, prefer, verb))
        known = [entity for entity in found if entity is not None and entity.id]
        fitting = [entity for entity in known if entity.kind == prefer]
        return max(fitting or known, key=lambda entity: entity.confidence, default=None)


def _suitability(thing: Thing, verb: str) -> int:
    """Tell how well a thing suits a verb, where several have the name."""
    held = thing.at == PLAYER
    if verb == "take":
        return 2 * ("portable" in thing.traits) - held
    if verb in ("drop", "put", "give", "show", "wear", "throw", "eat", "drink"):
        return int(held)
    if verb == "light":
        return -int("lit" in thing.states)
    if verb == "extinguish":
        return int("lit" in thing.states and held)
    return -int(held) if verb in ("use", "fill", "target") else 0


@lru_cache(256)  # A world has the same names in each of its turns.
def _indexed(named: tuple[tuple[str, str, tuple[str, ...]], ...]) -> Index:
    """Return what each phrase names, and how well, of ids with their names and aliases."""
    index: dict[tuple[str, ...], dict[str, float]] = {}
    for id, name, aliases in named:
        for phrase, value in ((name, 1.0), *((alias, 0.95) for alias in aliases)):
            for variant in _variants(phrase):
                known_as = index.setdefault(variant, {})
                known_as[id] = max(value, known_as.get(id, 0.0))
    return index


@lru_cache(4096)  # A world has the same names in each of its turns.
def _variants(name: str) -> frozenset[tuple[str, ...]]:
    """Return the ways to write a name, without articles: as it is, in the other number, and as one word."""
    words = tuple(name.lower().replace("-", " ").replace("'", "").split())
    words = tuple(word for word in words if word not in ("the", "a", "an"))
    if not words:
        return frozenset()
    return frozenset({words, (*words[:-1], _inflected(words[-1])), ("".join(words),)})


def _inflected(word: str) -> str:
    """Return the plural of a singular, or the other way about."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    if word.endswith(("ch", "sh", "x", "ss")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else word + "s"
