"""Company: greeting, asking, telling, thanking, and what people remember of it."""

from __future__ import annotations

import re

from tta_world import (
    FEELINGS,
    HEAVY,
    Character,
    Command,
    Deed,
    Entity,
    Thing,
    people,
)

from .paths import company_near
from .refusing import lacking, refuse
from .rules import follow_rule
from .story import PersonText, Topic
from .turn import Turn, found, slot

_ONESELF = frozenset({"himself", "herself", "yourself", "him", "her", "you"})
_COMMON = frozenset({"you", "yourself", "why", "work", "help", "wrong", "where", "now", "lost"})
"""Words that many a question has, whatever it is about."""
_NAMES = frozenset({
    "name", "his name", "her name", "their name", "your name", "names", "who he is", "who she is", "who they are",
    "who you are", "who are you", "he is", "she is", "they are", "you are",
})  # fmt: skip
_KEEP = 24
"""How much somebody remembers of what they told, and of what they heard."""


def partner(turn: Turn, command: Command) -> Character | Deed:
    """Find out who is spoken to; with nobody named, whoever is here, people before animals."""
    entity = slot(command, "person")
    if entity is None:
        thing = found(turn, slot(command, "thing", "target"))
        if isinstance(thing, Character):
            entity = slot(command, "thing", "target")
    if entity is not None and (entity.id or entity.options or entity.kind != "several"):
        who = found(turn, entity)
        if isinstance(who, Character) and turn.can_see(who.id):
            return who
        if isinstance(who, Thing) and turn.can_see(who.id):
            return _unspeaking(turn, command, who)
        return lacking(turn, command, entity)
    company = sorted(people(turn.world), key=lambda c: ("animal" in c.traits, c.id))
    last = turn.world.player.focus.character
    chosen = next((c for c in company if c.id == last and "animal" not in c.traits), None)
    if chosen is None and not company:
        return refuse(command, "alone", place=company_near(turn.world))
    return chosen or company[0]


def _unspeaking(turn: Turn, command: Command, thing: Thing) -> Deed:
    """Talk to something that doesn't answer in words."""
    text = turn.story.things[thing.id]
    for verb in (command.name, "greet", "listen", "touch"):
        if turn.tell("effect", thing.id, text.does.get(verb, ()), verb):
            break
    return Deed(name="talk", thing=thing.id)


def greet(turn: Turn, command: Command) -> Deed:
    """Greet somebody; they remember whether you have met, and what you told them."""
    who = partner(turn, command)
    if isinstance(who, Deed):
        return Deed(name="greet") if who.reason == "alone" else who
    text = turn.story.people[who.id]
    _greet(turn, who, text)
    return Deed(name="greet", person=who.id, again=who.met)


def _greet(turn: Turn, who: Character, text: PersonText) -> None:
    mood = _remembered(who)
    if not who.met:
        turn.tell("line", who.id, text.greet.first, "first")
    elif mood and f"asked-{mood}" not in who.heard and mood in text.remembers:
        turn.tell("line", who.id, text.remembers[mood], f"remembers-{mood}")
        _remember(turn, who.id, f"asked-{mood}")
    else:
        turn.tell("line", who.id, text.greet.again, "again")
    turn.update_person(who.id, met=True)


def _remembered(who: Character) -> str:
    """Name the kind of feeling that somebody was last told of: heavy, bright, or none."""
    felt = [heard for heard in who.heard if heard in FEELINGS]
    if not felt:
        return ""
    return "heavy" if felt[-1] in HEAVY else "bright"


def talk(turn: Turn, command: Command) -> Deed:
    """Talk to somebody: about something, or about whatever they have on their mind."""
    if slot(command, "topic") is not None:
        return ask(turn, command)
    who = partner(turn, command)
    if isinstance(who, Deed):
        return who
    text = turn.story.people[who.id]
    if not who.met:
        _greet(turn, who, text)
        return Deed(name="greet", person=who.id)
    for id, topic in text.topics.items():
        if not topic.quiet and id not in who.told and turn.all_hold(topic.when):
            return _speak(turn, command, who, id, topic)
    turn.tell("line", who.id, text.idle, "idle")
    return Deed(name="talk", person=who.id, again=True)


def ask(turn: Turn, command: Command) -> Deed:
    """Ask somebody about something."""
    entity = slot(command, "topic", "thing", "place", "target")
    who = partner(turn, command)
    named = entity is not None and not entity.id and bool(_NAMES & {entity.text.lower()})
    if isinstance(who, Deed):
        # Asked of nobody, it is asked of whoever tells this.
        return Deed(name="about") if named and who.reason == "alone" else who
    text = turn.story.people[who.id]
    if named:
        return _named(turn, who, text)
    if entity is None or {"doing", "busy"} & set(entity.text.split()):
        return talk(turn, Command(name="talk", slots={"person": _as_entity(who)}))
    if (match := _topic(turn, who, text, entity)) is not None:
        turn.update_person(who.id, met=True)
        return _speak(turn, command, who, *match)
    if not who.met:
        _greet(turn, who, text)
    feelings = turn.world.player.feelings
    if not entity.id and feelings and feelings[-1] in HEAVY:
        turn.tell("line", who.id, text.listens, "listens")
        return Deed(name="share", person=who.id)
    turn.tell("line", who.id, text.shrug, "shrug")
    return Deed(
        name="ask", outcome="refused", reason="no-topic", person=who.id, topic=entity.id,
        words=entity.text[:60],
    )  # fmt: skip


def _named(turn: Turn, who: Character, text: PersonText) -> Deed:
    """Let somebody say who they are, or show it, where they don't speak."""
    if not who.met:
        _greet(turn, who, text)
        return Deed(name="greet", person=who.id)
    if "animal" in who.traits:
        turn.tell("look", who.id, text.look)
        return Deed(name="examine", person=who.id)
    return Deed(name="named", person=who.id, again=True)


def _as_entity(who: Character) -> Entity:
    return Entity(text=who.name, kind="character", id=who.id)


def _speak(turn: Turn, command: Command, who: Character, id: str, topic: Topic) -> Deed:
    again = id in who.told
    texts = topic.again if again and topic.again else topic.texts
    turn.tell("line", who.id, texts, id + ("-again" if again else ""))
    told = tuple(dict.fromkeys([*who.told, id]))[-_KEEP:]
    turn.update_person(who.id, met=True, told=told)
    turn.apply(topic.then)
    return Deed(name="ask", person=who.id, topic=id, again=again and not topic.again)


def _topic(turn: Turn, who: Character, text: PersonText, entity: Entity) -> tuple[str, Topic] | None:
    """Find what the person has to say about something: the topic that shares most words."""
    said = _words(entity.text)
    said |= {entity.id} - {""}
    if entity.id in turn.world.things or entity.id in turn.world.characters:
        named = turn.world.things.get(entity.id) or turn.world.characters[entity.id]
        # Of `storm lantern` it is the lantern that is asked about.
        said |= _words(named.name.split()[-1])
    if said & _ONESELF:
        said |= {"you", "yourself"}
    best: tuple[float, str] | None = None
    joined = f" {' '.join(sorted(said))} {entity.text} "
    for order, (id, topic) in enumerate(text.topics.items()):
        if not turn.all_hold(topic.when):
            continue
        shared = [word for word in topic.words if word in said or f" {word} " in joined]
        if id in who.told and not topic.again and not set(shared) - _COMMON:
            # Only a `you` of the question was theirs, and that has been answered.
            continue
        score = sum(0.3 if word in _COMMON else 1.0 for word in shared)
        if id in said:
            score += 1
        if topic.words and topic.words[0] in said:
            score += 0.5
        if score and (best is None or score > best[0]):
            best = (score - order / 100, id)
    return (best[1], text.topics[best[1]]) if best else None


def _words(text: str) -> set[str]:
    words = set(re.findall(r"[a-z']+", text.lower()))
    return words | {word[:-1] for word in words if word.endswith("s") and len(word) > 3}


def tell(turn: Turn, command: Command) -> Deed:
    """Tell somebody something; they keep what it was about, not the words."""
    entity = slot(command, "topic", "speech", "thing", "place", "target")
    if command.name == "say" and entity is None:
        return Deed(name="shout")
    who = partner(turn, command)
    if isinstance(who, Deed):
        return Deed(name="share") if who.reason == "alone" else who
    text = turn.story.people[who.id]
    if entity is not None and slot(command, "speech") is None:
        match = _topic(turn, who, text, entity)
        if match is not None and match[0] not in who.told:
            return _speak(turn, command, who, *match)
    if not who.met:
        _greet(turn, who, text)
    turn.tell("line", who.id, text.listens, "listens")
    if entity is not None and entity.id:
        _remember(turn, who.id, entity.id)
    return Deed(name="tell", person=who.id, topic=entity.id if entity else "")


def _remember(turn: Turn, id: str, what: str) -> None:
    heard = [one for one in turn.world.characters[id].heard if one != what]
    turn.update_person(id, heard=(*heard, what)[-_KEEP:], met=True)


def remember_feelings(turn: Turn, who: Character, feelings: tuple[str, ...]) -> None:
    """Let somebody remember that the player spoke of these feelings."""
    for feeling in feelings:
        if not feeling.startswith("-"):
            _remember(turn, who.id, feeling)
    # So that they ask once more, after a new telling.
    heard = turn.world.characters[who.id].heard
    turn.update_person(who.id, heard=tuple(h for h in heard if not h.startswith("asked-")))


def courtesy(turn: Turn, command: Command) -> Deed:
    """Thank somebody, say goodbye, hug or stroke them."""
    who = partner(turn, command)
    if isinstance(who, Deed):
        if who.thing:
            return _thing(turn, command, who.thing)
        return Deed(name=command.name) if who.reason == "alone" else who
    text = turn.story.people[who.id]
    if not who.met and command.name == "farewell":
        _greet(turn, who, text)
    lines = {
        "thank": text.thanks, "farewell": text.farewell, "hug": text.hug,
        "pet": text.pet or text.hug, "apologise": text.listens,
    }[command.name]  # fmt: skip
    turn.tell("line", who.id, lines, command.name)
    turn.update_person(who.id, met=True)
    return Deed(name=command.name, person=who.id)


def _thing(turn: Turn, command: Command, thing: str) -> Deed:
    turn.take_details()
    turn.tell("effect", thing, turn.story.things[thing].does.get(command.name, ()))
    return Deed(name=command.name, thing=thing)


def introduce(turn: Turn, command: Command) -> Deed:
    """Take up the player's name."""
    entity = slot(command, "name")
    if entity is None or not entity.text.strip():
        return refuse(command, "what", outcome="unclear")
    name = entity.text.strip()[:40]
    turn.update_player(name=name)
    who = partner(turn, Command(name="introduce"))
    if isinstance(who, Deed):
        return Deed(name="introduce")
    turn.update_person(who.id, met=True)
    return Deed(name="introduce", person=who.id, again=who.met)


def help_with(turn: Turn, command: Command) -> Deed:
    """Help somebody, or with something; the story's rules come first."""
    who = partner(turn, command)
    if isinstance(who, Deed):
        return who
    text = turn.story.people[who.id]
    named = Command(name=command.name, slots={"person": _as_entity(who)})
    if (ruled := follow_rule(turn, named)) is not None:
        return ruled
    if slot(command, "topic") is not None:
        return ask(turn, command)
    for id, topic in text.topics.items():
        if ("help" in topic.words or id not in who.told) and turn.all_hold(topic.when):
            return _speak(turn, command, who, id, topic)
    turn.tell("line", who.id, text.idle, "idle")
    return Deed(name="talk", person=who.id)
