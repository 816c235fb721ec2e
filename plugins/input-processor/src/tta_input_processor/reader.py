"""A text read clause by clause: what each one asks, says or feels, and what they make together."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from tta_world import Command, Entity, Feeling, World, visible

from .clauses import ASKING, Clause, split_clauses, strip_fillers, strip_lead_in
from .commands import Commands
from .consolidation import consolidate, names_nothing, only_addresses
from .declining import hesitation, is_declined, read_negation
from .feelings import feelings
from .names import Names
from .phrases import direction
from .questions import blaming, question
from .shapes import POCKETS
from .speech import COURTESY, read_introduction, read_offer, read_speech
from .telling import FIRST, is_about_life, is_remark, is_saying
from .text import NormalizedText
from .verbs import begins, lexicon
from .words import ARTICLES, CARELESS, COMPASS, DIRECTIONS, expand

_HOLDING = frozenset({"fear", "worry", "overwhelm", "tiredness", "sadness", "grief", "shame", "despair"})
_ALL = frozenset({"take", "drop", "examine", "read"})
_SOCIAL = frozenset({"ask", "tell", "talk", "greet", "thank", "farewell", "wonder", "where",
                     "feel", "say", "who", "share", "apologise", "hug", "help-with"})  # fmt: skip
_SELF = frozenset({"me", "myself", "self", "my reflection", "my hands", "my face", "my feet", "my shoes", "my hair",
                   "my body", "my clothes"})  # fmt: skip
_SOMEWHERE = frozenset({"somewhere", "anywhere", "elsewhere", "someplace"})
_HELPING = frozenset({"can", "could", "will", "would", "have", "may"})
_HUGS = frozenset({"hug", "hugs", "kiss", "cuddle", "squeeze"})


class Reader:
    """One reading of one text."""

    def __init__(self, typed: NormalizedText, world: World | None, max_commands: int) -> None:
        self.names = Names(world)
        self.feelings: list[Feeling] = [Feeling(name=name, text="") for name in typed.smileys]
        self.asked = False
        self.cut = False
        self._typed = typed
        self._world = world
        self._max = max(1, max_commands)
        self._commands = Commands(self.names)
        self._vocative: Entity | None = None

    def read(self) -> list[Command]:
        """Read every clause; return what is to be done, in order."""
        words, cased = expand(self._typed.words, self._typed.cased)
        commands: list[Command] = []
        wishes: list[bool] = []
        if self.feelings and not words:
            return [Command(name="feel", confidence=0.8)]
        for clause in split_clauses(words, cased):
            if clause.junction == "or" and commands:
                continue
            before = len(self.feelings)
            found, wish = self._read_clause(clause, commands)
            felt = self.feelings[before:]
            held = is_declined(found) or any(f.present and f.name in _HOLDING for f in felt)
            if held and clause.junction == "but" and wishes[-1:] == [True]:
                commands[-1] = hesitation(commands[-1])
            if self._vocative is not None and found and only_addresses(commands[-1:], self._vocative):
                commands.pop()
                wishes.pop()
            commands += found
            wishes += [wish] * len(found)
        if self.feelings and not any(c.name in ("feel", "harm") for c in commands):
            commands.insert(0, Command(name="feel", confidence=0.75))
        kept = consolidate(commands, self.feelings)
        self.cut = len(kept) > self._max
        return kept[: self._max]

    # One clause -----------------------------------------------------------------------------------

    def _read_clause(self, clause: Clause, before: list[Command]) -> tuple[list[Command], bool]:
        self.asked = self.asked or clause.question
        turns = [DIRECTIONS.get(word, "") for word in clause.words]
        if len(turns) > 1 and all(turn in COMPASS | {"up", "down"} for turn in turns):
            ways = [direction(word) for word in clause.words]
            return [Command(name="go", slots={"direction": way}) for way in ways if way], False
        clause = self._strip_vocative(clause)
        if any(word.startswith("§") for word in clause.words):
            said, spoken_of = read_speech(clause, self._typed.speech, self._commands, self._vocative)
            self._feel(spoken_of)
            return [said], False
        if (command := self._commands.phrase(clause.words)) is not None:
            found = feelings(clause.words)
            self._feel(found.feelings)
            return [self._address(command)], False
        lead = strip_lead_in(clause)
        telling = self._read_report(lead.clause)
        if telling is not None and not lead.negation:
            return [telling], False
        felt = feelings(clause.words)
        blamed = blaming(clause.words) if clause.question else None
        if felt.feelings:
            self._feel(felt.feelings)
            met = self._address(Command(name="feel", confidence=0.9))
            despair = any(f.name == "despair" for f in felt.feelings)
            return [met] if blamed is None or despair else [blamed, met], False
        if blamed is not None:
            return [blamed], False
        if (gift := read_offer(clause, self.names)) is not None:
            return [gift], False
        if (named := read_introduction(clause, self.names)) is not None:
            return [named], False
        if is_saying(clause):
            return [Command(name="share", confidence=0.6)], False
        if lead.negation:
            return read_negation(clause, lead.clause, lead.negation, self._commands), False
        clause = strip_fillers(clause)
        asked = question(clause.words, self.names, marked=False)
        if asked is not None:
            return [self._address(asked)], False
        if (again := self._continue(lead.clause, before)) is not None:
            return again, lead.wish
        command = self._commands.command(lead.clause.words) or self._commands.embedded(clause.words)
        inward = command is not None and command.name == "touch" and clause.words[:2] == ("i", "feel")
        if command is not None and names_nothing(command) and inward:
            return [Command(name="share", confidence=0.6)], False
        if command is not None and (names_nothing(command) or not command.slots) and is_about_life(clause):
            return [Command(name="share", confidence=0.6)], False
        if command is not None and (command.confidence >= 0.5 or not clause.question):
            return self._expand(self._address(command)), lead.wish
        if clause.question and (asked := question(clause.words, self.names, marked=True)):
            return [self._address(asked)], False
        if command is not None:
            return self._expand(command), lead.wish
        return self._read_statement(clause, lead.clause, before), lead.wish

    def _strip_vocative(self, clause: Clause) -> Clause:
        """Take the name off `Bram do you like the sea?`."""
        words = clause.words
        if len(words) < 3 or words[1] not in ASKING | _HELPING:
            return clause
        entity = self.names.find(words[:1], "character")
        if entity is None or entity.kind != "character" or entity.confidence < 0.7:
            return clause
        self._vocative = entity
        return clause.without(1)._replace(question=True)

    def _feel(self, found: Sequence[Feeling]) -> None:
        names = {feeling.name for feeling in self.feelings}
        self.feelings += [feeling for feeling in found if feeling.name not in names]

    def _address(self, command: Command) -> Command:
        """Let `Bram, where is the key?` be said to Bram."""
        person = self._vocative
        if person is None or command.name not in _SOCIAL or "person" in command.slots:
            return command
        name = command.name
        if name in ("where", "wonder"):
            # Asked of somebody, it is for them to answer.
            topic = next(iter(command.slots.values()), None)
            slots = {"person": person, **({"topic": topic} if topic else {})}
            return structs.replace(command, name="ask", slots=slots)
        return structs.replace(command, slots={**command.slots, "person": person})

    def _read_report(self, clause: Clause) -> Command | None:
        """Read `tell Ines that I am sad`: what is told may be a feeling."""
        verb = lexicon().get(clause.words[:1], ())
        if not verb or verb[0].shape not in ("tell", "say") or len(clause.words) < 3:
            return None
        if clause.words[1] in ("me", "us"):
            return None
        command = self._commands.command(clause.words)
        felt = feelings(clause.words[1:])
        if felt.feelings:
            self._feel(felt.feelings)
            person = command.slots.get("person") if command is not None else None
            slots = {"person": person} if person is not None else {}
            return self._address(Command(name="feel", slots=slots, confidence=0.9))
        return command

    def _continue(self, clause: Clause, before: list[Command]) -> list[Command] | None:
        """Read `, the key and the shell` after `take the lamp`; and `Bram,` before something."""
        words = clause.words
        if not words or (lexicon().get(words[:1]) and not self.names.knows(words)):
            return None
        if begins(words) and not self.names.knows(words):
            return None
        if len(words) <= 2 and (way := self._commands.direction(words)) is not None:
            return [Command(name="go", slots={"direction": way}, confidence=way.confidence)]
        last = before[-1] if before else None
        joined = clause.junction in (",", "and", "then")
        entity = self.names.find(words, "thing", last.name if last else "")
        if entity is None or not entity.id or entity.confidence < 0.6:
            return None
        if entity.kind == "character" and clause.junction in (",", "") and (last is None or "person" not in last.slots):
            if last is not None and last.name in COURTESY:
                before[-1] = structs.replace(last, slots={**last.slots, "person": entity})
                return []
            if last is not None and last.name in ("ask", "talk", "feel", "wonder", "tell", "where"):
                self._vocative = entity
                before[-1] = self._address(last)
                return []
        if last is not None and joined and "thing" in last.slots and entity.kind == "thing":
            self.names.mention(entity)
            return [structs.replace(last, slots={**last.slots, "thing": entity})]
        if last is not None and joined and last.name == "go" and entity.kind == "place":
            self.names.mention(entity)
            return [Command(name="go", slots={"place": entity}, confidence=0.8)]
        return None

    def _expand(self, command: Command) -> list[Command]:
        """Let `take everything` be one command for each thing; and settle what pronouns mean."""
        given = command.slots.get("thing")
        if command.name == "examine" and given is not None and given.text in _SELF:
            return [Command(name="examine", slots={"manner": Entity("self")}, confidence=0.9)]
        place = command.slots.get("place")
        if command.name == "go" and place is not None and not place.id and _SOMEWHERE & set(place.text.split()[:1]):
            # Not any place by that name, but one to be at ease in.
            place = Entity(text=place.text, kind="several", confidence=0.8)
            return [Command(name="go", slots={"place": place}, confidence=0.8)]
        if command.name in ("take", "drop") and place is not None and "thing" not in command.slots:
            # `get on the bus`, `leave the tea-room`: nobody carries a place.
            name = "go" if command.name == "take" else "leave"
            return [structs.replace(command, name=name)]
        target = command.slots.get("target")
        if command.name == "put" and given is not None and target and target.text in POCKETS:
            return [Command(name="take", slots={"thing": given}, confidence=0.9)]
        if command.name == "give" and given is not None and _HUGS & set(given.text.split()):
            person = command.slots.get("person")
            return [Command(name="hug", slots={"person": person} if person else {},
                            confidence=0.9)]  # fmt: skip
        for role in ("person", "place", "target", "thing"):
            if role in command.slots:
                self.names.mention(command.slots[role])
        thing = command.slots.get("thing")
        world = self._world
        if thing is None or thing.kind != "several" or world is None or command.name not in _ALL:
            return [command]
        held = command.name == "drop"
        things = [t for t in visible(world) if (t.at == "player") == held]
        things = [t for t in things if "portable" in t.traits and t.at not in world.characters]
        if not things:
            return [command]
        self.cut = self.cut or len(things) > self._max
        return [
            Command(
                name=command.name,
                slots={"thing": Entity(text=t.name, kind="thing", id=t.id)},
                confidence=0.9,
            )
            for t in things
        ]

    def _read_statement(self, clause: Clause, rest: Clause, before: list[Command]) -> list[Command]:
        """Read what is neither command nor question: a name, a remark, a confidence, or a riddle."""
        if is_remark(clause):
            return [Command(name="share", confidence=0.6)]
        entity = self.names.find(rest.words, "thing")
        significant = [w for w in rest.words if w not in ARTICLES and w not in CARELESS]
        if entity is not None and (entity.id or entity.options) and len(significant) <= 4:
            if entity.kind == "thing" and entity.id and len(rest.words) > 2 and rest.words[1] in ARTICLES:
                # `juggle the shells`: a verb that nobody foresaw.
                self.names.mention(entity)
                return [Command(name="impossible", slots={"thing": entity}, confidence=0.5)]
            if entity.kind == "character" and FIRST & set(rest.words) and len(rest.words) > 2:
                # `Ines sent me`: about somebody, to whoever is here.
                topic = Entity(text=" ".join(rest.words)[:200], kind="topic", id=entity.id)
                return [Command(name="tell", slots={"topic": topic}, confidence=0.6)]
            if entity.kind == "character":
                self.names.mention(entity)
                if clause.junction == "" or clause.junction == ".":
                    self._vocative = entity
                return [Command(name="talk", slots={"person": entity},
                                confidence=0.6 * entity.confidence)]  # fmt: skip
            self.names.mention(entity)
            name, role = ("go", "place") if entity.kind == "place" else ("examine", "thing")
            return [Command(name=name, slots={role: entity},
                            confidence=round(0.7 * entity.confidence, 3))]  # fmt: skip
        if (way := self._commands.direction(rest.words)) is not None:
            return [Command(name="go", slots={"direction": way}, confidence=way.confidence)]
        if FIRST & set(clause.words) and len(clause.words) >= 3:
            return [Command(name="share", confidence=0.6)]
        if len(clause.words) >= 5:
            return [Command(name="share", confidence=0.4)]
        return [Command(name="unclear", confidence=0.3)]
