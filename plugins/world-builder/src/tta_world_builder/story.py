"""A story as its author writes it, in YAML beside this module, and how that is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from zlib import crc32

import msgspec
from msgspec import Struct

from tta_world import ABROAD, DIRECTIONS, FEELINGS, NOWHERE, Weather
from tta_world import COMMANDS as COMMAND_NAMES

from .terms import Term, split, terms

Texts = tuple[str, ...]
PARTS = ("places", "things", "people", "threads")


class StoryError(Exception):
    """A shipped story contradicts itself."""


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ExitText(_Part, frozen=True):
    """A way out, as written."""

    to: str
    way: str
    door: str = ""
    hidden: bool = False
    needs_light: bool = False


class Search(_Part, frozen=True):
    """What a search brings to light, once."""

    texts: Texts
    effects: Texts = ()
    when: Texts = ()
    again: Texts = ()


class Note(_Part, frozen=True):
    """Something told of a place while the conditions hold."""

    texts: Texts
    when: Texts = ()


class PlaceText(_Part, frozen=True):
    """A place and its prose."""

    name: str
    exits: Mapping[str, ExitText]
    first: Texts
    look: Texts
    again: Texts
    preposition: str = "at"
    aliases: Texts = ()
    traits: Texts = ()
    dark: Texts = ()
    far: Texts = ()
    notes: tuple[Note, ...] = ()
    listen: Texts = ()
    smell: Texts = ()
    rest: Texts = ()
    search: Search | None = None


class ThingText(_Part, frozen=True):
    """A thing and its prose; with several places in ``at`` the seed chooses."""

    name: str
    at: str | Texts
    look: Texts
    aliases: Texts = ()
    traits: Texts = ()
    states: Texts = ()
    lies: Texts = ()
    does: Mapping[str, Texts] = {}
    key: str = ""
    whereabouts: Texts = ()


class Topic(_Part, frozen=True):
    """Something that a character can be asked about."""

    words: Texts
    texts: Texts
    again: Texts = ()
    when: Texts = ()
    then: Texts = ()
    quiet: bool = False


class Greeting(_Part, frozen=True):
    """How somebody greets the player: at the first meeting, and later."""

    first: Texts
    again: Texts


class PersonText(_Part, frozen=True):
    """A character and what they say."""

    name: str
    at: str | Texts
    look: Texts
    doing: Texts
    greet: Greeting
    topics: Mapping[str, Topic]
    listens: Texts
    shrug: Texts
    idle: Texts
    heavy: Texts
    bright: Texts
    thanks: Texts
    farewell: Texts
    gift: Texts
    hug: Texts
    aliases: Texts = ()
    traits: Texts = ()
    remembers: Mapping[str, Texts] = {}
    pet: Texts = ()
    follows: Texts = ()
    stays: Texts = ()
    rejoins: Texts = ()


class Need(_Part, frozen=True, rename={"condition": "is", "otherwise": "else"}):
    """A condition of a rule, and what is told where it doesn't hold."""

    condition: str
    otherwise: Texts = ()
    outcome: str = "refused"


class Rule(_Part, frozen=True, rename={"target": "with"}):
    """What happens when one of the verbs is used on the thing, or on the thing with the target."""

    id: str
    verbs: Texts
    thing: str = ""
    target: str = ""
    needs: tuple[Need, ...] = ()
    effects: Texts = ()
    texts: Texts = ()


class Beat(_Part, frozen=True):
    """A turn of the story, which happens once: by an effect, or when its conditions hold."""

    id: str
    texts: Texts
    when: Texts = ()
    effects: Texts = ()
    ending: bool = False


class Threads(_Part, frozen=True):
    """What leads to what, and how the world answers."""

    rules: tuple[Rule, ...]
    beats: tuple[Beat, ...]
    nudges: tuple[Note, ...]
    comforts: Mapping[str, Mapping[str, Texts]]
    leanings: Mapping[str, Weather]
    drift: Mapping[str, Texts]
    periods: Mapping[str, Texts]
    senses: Mapping[str, Mapping[str, Texts]]
    search: Mapping[str, Texts]


class Story(Struct, frozen=True):
    """A whole story, checked."""

    name: str
    places: Mapping[str, PlaceText]
    things: Mapping[str, ThingText]
    people: Mapping[str, PersonText]
    threads: Threads
    start: str
    edition: str = ""
    """Changes with every change of the files."""

    def beat(self, id: str) -> Beat:
        """Return the beat of this name."""
        return next(beat for beat in self.threads.beats if beat.id == id)


def shipped() -> tuple[str, ...]:
    """Name the stories that this package carries."""
    folder = files(__package__) / "worlds"
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))


@cache
def load(name: str) -> Story:
    """Read a shipped story and check that it hangs together."""
    if name not in shipped():
        raise StoryError(f"story {name!r}: not shipped here; choose one of {', '.join(shipped())}")
    folder = files(__package__) / "worlds" / name
    raw = {part: (folder / f"{part}.yaml").read_bytes() for part in PARTS}
    places = msgspec.yaml.decode(raw["places"], type=dict[str, PlaceText])
    story = Story(
        name=name,
        places=places,
        things=msgspec.yaml.decode(raw["things"], type=dict[str, ThingText]),
        people=msgspec.yaml.decode(raw["people"], type=dict[str, PersonText]),
        threads=msgspec.yaml.decode(raw["threads"], type=Threads),
        start=next(iter(places)),
        edition=f"{crc32(b''.join(raw.values())):08x}",
    )
    if problems := list(_problems(story)):
        raise StoryError(f"story {name!r}: " + "; ".join(problems))
    return story


def spots(at: str | Texts) -> Texts:
    """Return the places of which the seed may choose."""
    return (at,) if isinstance(at, str) else at


def _problems(story: Story) -> Iterator[str]:
    ids = [*story.places, *story.things, *story.people]
    if len(ids) != len(set(ids)):
        yield "an id is used twice"
    for id, place in story.places.items():
        for direction, exit in place.exits.items():
            if direction not in DIRECTIONS:
                yield f"{id}: {direction!r} is no direction"
            if exit.to not in story.places or (exit.door and exit.door not in story.things):
                yield f"{id}: the way {direction} leads to something that there isn't"
        if "dark" in place.traits and not place.dark:
            yield f"{id}: is dark, but says nothing of it"
    holders = {*ids, ABROAD, NOWHERE, "player"}
    first = {id: thing.at for id, thing in story.things.items()}
    first |= {id: person.at for id, person in story.people.items()}
    for id, at in first.items():
        missing = [spot for spot in spots(at) if spot not in holders]
        yield from (f"{id}: is at {spot!r}, which there isn't" for spot in missing)
    for id, thing in story.things.items():
        known = {*COMMAND_NAMES, "locked"}
        yield from (f"{id}: does {verb!r}?" for verb in thing.does if verb not in known)
    for rule in story.threads.rules:
        yield from (f"{rule.id}: {verb!r}?" for verb in rule.verbs if verb not in COMMAND_NAMES)
    known = {*FEELINGS, "default"}
    yield from (f"{feeling!r}?" for feeling in story.threads.comforts if feeling not in known)
    for _, texts in _lists(story):
        # In YAML's [a, b] a comma ends a text.
        yield from (f"{text!r} breaks off" for text in texts if " " in text and text[-1] == ",")
    for term in _terms(story):
        yield from term.problems(ids, [beat.id for beat in story.threads.beats])


def _terms(story: Story) -> Iterator[Term]:
    """Find every condition and effect, wherever it stands."""
    for field, texts in _lists(story):
        for text in texts:
            if field in ("when", "condition"):
                yield from terms(text, effects=False)
            elif field in ("effects", "then"):
                yield from terms(text, effects=True)
            else:
                yield from split(text)[0]


def _lists(found: object) -> Iterator[tuple[str, Texts]]:
    if isinstance(found, Struct):
        for field in found.__struct_fields__:
            value = getattr(found, field)
            if field == "condition":
                yield field, (value,)
            elif isinstance(value, tuple) and value and isinstance(value[0], str):
                yield field, value
            else:
                yield from _lists(value)
    elif isinstance(found, Mapping):
        for value in found.values():
            if isinstance(value, tuple) and value and isinstance(value[0], str):
                yield "texts", value
            else:
                yield from _lists(value)
    elif isinstance(found, tuple):
        for value in found:
            yield from _lists(value)
