"""What was said in quotes, and to whom; and what the player is called."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from tta_world import Command, Entity, Feeling

from .clauses import Clause
from .commands import Commands
from .feelings import feelings
from .names import Names
from .questions import question
from .text import normalize
from .verbs import begins, lexicon
from .words import expand

COURTESY = frozenset({"greet", "thank", "farewell", "apologise"})
_WRITING = frozenset({"write", "writes", "wrote", "sign", "scribble", "draw", "jot"})
_OFFERING = (("i", "have", "brought", "you"), ("i", "brought", "you"), ("i", "have", "got"), ("i", "have"),
             ("i", "brought"), ("here", "is"), ("this",), ("the",))  # fmt: skip
_NAMING = (("my", "name", "is"), ("i", "am", "called"), ("call", "me"),
           ("you", "can", "call", "me"), ("people", "call", "me"))  # fmt: skip
_SPOKEN = frozenset({"greet", "thank", "farewell", "apologise", "talk", "ask", "tell", "say",
                     "give", "help-with", "yes", "no", "share"})  # fmt: skip

Spoken = tuple[Command, Sequence[Feeling]]


def read_speech(clause: Clause, speeches: Sequence[str], commands: Commands, listener: Entity | None) -> Spoken:
    """Read a clause with a speech in it; return also the feelings that it speaks of."""
    names = commands.names
    index = next(int(w[1:]) for w in clause.words if w.startswith("§"))
    speech = speeches[index] if index < len(speeches) else ""
    outside = [w for w in clause.words if not w.startswith("§")]
    inner = normalize(speech, 400)
    words, _ = expand(inner.words, inner.cased)
    said = [w for w in words if w[0].isalnum()]
    person = _listener(outside, said, names) or listener
    slots = {"person": person} if person is not None else {}
    size = begins(said)
    courtesy = lexicon()[tuple(said[:size])][0].command if size else ""
    if courtesy in COURTESY and len(said) <= size + 3:
        return Command(name=courtesy, slots=slots, confidence=0.95), ()
    if any(word in _WRITING for word in outside):
        rest = [word for word in outside if word != "i"]
        return commands.command(rest) or Command(name="write", confidence=0.6), ()
    if felt := feelings(tuple(said)).feelings:
        return Command(name="feel", slots=slots, confidence=0.9), felt
    command = commands.command(said) if said and not outside else None
    if command and command.name not in _SPOKEN and command.confidence >= 0.85:
        # Some people put all that they type in quotes.
        return command, ()
    if said and (inner.text.endswith("?") or {"ask", "asks", "asked"} & set(outside)):
        asked = question(tuple(said), names, marked=True)
        if asked is not None and asked.name in ("greet", "talk"):
            return structs.replace(asked, slots=slots), ()
        topic = next(iter(asked.slots.values()), None) if asked is not None else None
        entity = topic or Entity(text=" ".join(said)[:200], kind="topic", confidence=0.5)
        return Command(name="ask", slots={**slots, "topic": entity}, confidence=0.85), ()
    topic = next(iter(names.within(said)), None)
    entity = Entity(text=speech[:200], kind="speech", id=topic.id if topic else "")
    return Command(name="say", slots={**slots, "speech": entity}, confidence=0.85), ()


def _listener(outside: Sequence[str], said: Sequence[str], names: Names) -> Entity | None:
    """Return who is spoken to: named beside the speech, or in a short one."""
    named = [e for e in names.within(outside, "character") if e.kind == "character"]
    if not named and len(said) <= 4:
        named = [e for e in names.within(said, "character") if e.kind == "character"]
    return named[-1] if named else None


def read_introduction(clause: Clause, names: Names) -> Command | None:
    """Read the player's own name."""
    words = clause.words
    cased = clause.cased
    for lead in _NAMING:
        if words[: len(lead)] == lead and len(words) > len(lead):
            name = [w for w in cased[len(lead) :][:2] if w.lower() not in ("a", "the")]
            text = " ".join(w[:1].upper() + w[1:] for w in name)
            if not text:
                return None
            entity = Entity(text=text[:40], kind="name")
            return Command(name="introduce", slots={"name": entity}, confidence=0.95)
    named = words[:2] == ("i", "am") and len(words) == 3 and cased[2].istitle()
    if named and not names.knows(words[2:]):
        entity = Entity(text=cased[2][:40], kind="name", confidence=0.7)
        return Command(name="introduce", slots={"name": entity}, confidence=0.7)
    return None


def read_offer(clause: Clause, names: Names) -> Command | None:
    """Read `I have a postcard for you` and `this shell is for Ines`: a gift, though no verb says so."""
    words = clause.words
    lead = next((lead for lead in _OFFERING if words[: len(lead)] == lead), None)
    if lead is None or clause.question:
        return None
    rest = words[len(lead) :]
    cut = next((at for at, word in enumerate(rest) if word == "for"), len(rest))
    brought = lead[-1] in ("you", "brought")
    thing = names.find([w for w in rest[:cut] if w not in ("is", "are")], "thing", "give")
    if thing is None or thing.kind != "thing" or not names.holds(thing.id) or not (brought or rest[cut:]):
        return None
    names.mention(thing)
    person = names.find(rest[cut + 1 :], "character") if rest[cut + 1 :] else None
    slots = {"thing": thing}
    if person is not None and person.kind == "character":
        slots["person"] = person
    return Command(name="give", slots=slots, confidence=0.85)
