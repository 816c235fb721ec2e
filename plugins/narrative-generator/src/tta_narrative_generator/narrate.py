"""A turn told: one to three paragraphs, in the second person, in the present tense."""

from __future__ import annotations

from itertools import pairwise

from msgspec import Struct, structs

from tta_world import Change, Deed, Telling, World

from .deeds import tell
from .grammar import rules
from .scene import Paragraphs, colour
from .sentences import join_paragraphs, pieces
from .voice import Voice

MAX_PARAGRAPHS = 3
_QUIET = frozenset({"feel", "cry", "decline", "hesitate", "harm", "share", "quit", "save", "help",
                    "no", "inventory", "reach-out", "recap"})  # fmt: skip
_HANDS = frozenset({"take", "drop", "put", "give", "open", "read", "examine", "search"})
_ASKING = frozenset({"suggest", "help"})


class Narration(Struct, frozen=True):
    """What is told of a turn, and what must be remembered for the next.

    ``opening`` and ``beats`` are the turns of the story in it, at its beginning and at its end, which are told as they
    stand, whoever tells the rest; ``plain`` is that rest.
    """

    text: str
    pieces: tuple[str, ...]
    """The text in sentences; joined, they are the text."""
    telling: Telling
    opening: str = ""
    plain: str = ""
    beats: str = ""


def narrate(
    change: Change, world: World, *, seed: int | None = None, turn: int | None = None,
    max_paragraphs: int = MAX_PARAGRAPHS,
) -> Narration:  # fmt: skip
    """Tell a turn from what changed and how the world now stands.

    The same change, world, seed and turn give the same text. Without a seed or a turn the
    world's own are taken. A beat of the story is told whole, however many paragraphs it has.
    """
    voice = Voice(
        world,
        world.seed if seed is None else seed,
        world.turn if turn is None else turn,
    )
    opening: Paragraphs = []
    beats: Paragraphs = []
    for beat in change.beats:
        (opening if beat.about == "arrival" else beats).extend(voice.say_paragraphs(beat))
    body = _body(voice, change)
    tail = _tail(voice, change)
    told = _squeeze(body, max(1, max_paragraphs - len(beats)))
    plain = join_paragraphs([*told, tail])
    paragraphs = [paragraph for paragraph in (*opening, *told, *beats) if paragraph]
    if tail and (not paragraphs or _long(paragraphs[-1])) and len(paragraphs) < max_paragraphs:
        paragraphs.append(tail)
    elif tail:
        paragraphs[-1] = [*paragraphs[-1], *tail]
    if not paragraphs:
        paragraphs = [voice.say("close") or voice.say("nothing.done")]
    text = join_paragraphs(paragraphs)
    return Narration(
        text=text, pieces=tuple(pieces(text)), telling=voice.telling(), opening=join_paragraphs(opening), plain=plain,
        beats=join_paragraphs(beats),
    )  # fmt: skip


def ending(world: World, *, seed: int | None = None, turn: int | None = None) -> str:
    """Return a sentence that ends a page whose telling broke off, and is true whatever was told before."""
    voice = Voice(world, world.seed if seed is None else seed, world.turn if turn is None else turn)
    for _ in rules()["ending.done"]:
        if said := voice.say("ending.done", {"place": world.player.at}):
            return join_paragraphs([said])
    return join_paragraphs([voice.say("close")])


def remembered(world: World, narration: Narration) -> World:
    """Return the world with what its narrator must remember."""
    return structs.replace(world, telling=narration.telling)


def _tail(voice: Voice, change: Change) -> list[str]:
    """Say what else there is: the weather's turn, what was left undone, a thread that is open."""
    said: list[str] = []
    if change.left:
        said += voice.say("left")
    for detail in change.drift:
        said += voice.say_detail_anew(detail)
    main = change.deeds[-1] if change.deeds else Deed(name=change.kind)
    if change.kind in _ASKING or main.name in _ASKING:
        # What hasn't been named lately; and rather the first again than nothing.
        unheard = [n for n in change.nudges if not voice.recently_told(n)]
        for nudge in (unheard or change.nudges)[:1]:
            said += voice.say_detail(nudge)
    elif (fresh := [n for n in change.nudges if not voice.recently_told(n)]) and _nudges(voice, change, main):
        said += voice.say_detail(fresh[0])
    elif not said and main.name in ("wait", "rest", "sit", "listen") and not change.beats:
        said += colour(voice, often=1)
    return said


def _nudges(voice: Voice, change: Change, main: Deed) -> bool:
    """Decide whether to name an open thread: seldom, and never where it would push."""
    if not change.nudges or change.beats or main.name in _QUIET or change.ending:
        return False
    if any(deed.name in _QUIET for deed in change.deeds):
        return False
    if main.name in ("ask", "talk") and main.outcome == "done":
        # Somebody has just said something; that has the last word.
        return False
    if main.name in ("nothing", "unclear", "look"):
        return voice.roll("nudge", 2) == 0
    # Elsewhere it would only change the subject.
    return main.outcome == "done" and (main.arrived or main.name in _HANDS) and voice.roll("nudge", 3) == 0


def _body(voice: Voice, change: Change) -> list[tuple[int, list[str]]]:
    """Tell the deeds in paragraphs, each with the number of its deed."""
    body: list[tuple[int, list[str]]] = []
    plain = False
    for number, deed in enumerate(change.deeds):
        told = [p for p in tell(voice, deed, change) if p]
        # What was done in one breath is told in one.
        joined = plain and not deed.arrived and deed.name != "feel" and len(told) == 1
        if joined and not _long(body[-1][1] + told[0]):
            body[-1] = (number, body[-1][1] + told[0])
        else:
            body += [(number, paragraph) for paragraph in told]
        plain = bool(body) and not deed.arrived
    return body


def _squeeze(body: list[tuple[int, list[str]]], most: int) -> Paragraphs:
    """Put neighbours together until there are no more than so many: of one deed, the shortest."""
    while len(body) > most:
        weights = [
            (one[0] != other[0], sum(map(len, one[1])) + sum(map(len, other[1])), at)
            for at, (one, other) in enumerate(pairwise(body))
        ]
        at = min(weights)[2]
        body[at : at + 2] = [(body[at + 1][0], body[at][1] + body[at + 1][1])]
    return [paragraph for _, paragraph in body]


def _long(paragraph: list[str]) -> bool:
    return sum(map(len, paragraph)) > 420
