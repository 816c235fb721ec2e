"""The three agents of a story together: what a player types becomes text that can be read."""

from __future__ import annotations

import random
import re
from typing import TypeVar

import msgspec
import pytest

from tta_input_processor import parse
from tta_narrative_generator import narrate, remembered
from tta_narrative_generator.sentences import sentences
from tta_world import World
from tta_world_builder import apply, new_world

T = TypeVar("T")

ARC = """
look
go to the cottage
hello
what happened to the lamp?
take the tin of matches from the shelf
go to the dunes
ask the girl for the key
go to the chandler's shop
ask for lamp oil
take the lantern
go to the reading room and ask Wren for the velvet cloth
go to the tea-room and take the matches
go to the harbour
get the lantern and light it
I'm a little scared of the dark
go to the lighthouse
climb the stairs
up
polish the lens with the velvet
pour the oil into the lamp
light the great lamp
I did it!
go to the harbour
""".strip().splitlines()

LINES = [
    *ARC, "I feel sad", "take everything", "drop everything", "I don't want to go in", "wait",
    "talk to the cat", "pet the cat", "north", "south", "east", "west", "up", "down", "in", "out",
    "back", "go to the beach", "search", "read the map", "asdf qwer", "kill the cat", "😢", "",
    "I'm tired but I go on", "who are you?", "what can I do?", "sleep", "take the shell",
    "where is Juno?", "\"I miss my brother,\" I tell Bram", "thank you", "inventory", "sing",
    "go to the cave", "give the shell to Juno", "eat the roll", "look at the sea", "breathe",
]  # fmt: skip


def take_turn(world: World, line: str) -> tuple[World, str]:
    """Play one turn, with every step through msgpack, as it travels between agents."""
    intent = parse(line, _travelled(world))
    world, change = apply(_travelled(world), _travelled(intent))
    narration = narrate(_travelled(change), _travelled(world))
    assert "".join(narration.pieces) == narration.text
    return remembered(world, narration), narration.text


def _travelled(value: T) -> T:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value))


def test_the_arc_of_the_coast_can_be_typed_from_the_bus_to_the_supper() -> None:
    world = new_world(5)
    for line in ARC:
        world, _ = take_turn(world, line)

    assert "homecoming" in world.beats


@pytest.mark.parametrize("seed", range(12))
def test_a_month_of_typing_reads_cleanly_and_says_nothing_twice_in_a_row(seed: int) -> None:
    rng = random.Random(seed)
    world = new_world(seed)
    before: set[str] = set()
    for _ in range(80):
        line = rng.choice(LINES)
        world, text = take_turn(world, line)

        said = {s for part in text.split("\n\n") for s in sentences(part)}
        assert not said & before, line
        before = said
        assert text.strip(), line
        outside = re.sub(r"“[^”]*”", "“”", text)
        assert not re.search(r"[<>{}]|  | [.,;!?]|\.\.|\b[Aa] [aeio]", outside), outside
    assert len(msgspec.msgpack.encode(world)) < 40_000


SORROWS = [
    "I feel sad", "I'm so sad", "I'm tired", "I feel empty", "it's all too much", "I lied to my sister", "my mum died",
    "I miss him", "I'm not sad anymore, just empty", "I don't know why I'm here", "I'm lonely", "I feel ashamed",
    "I'm angry and scared", "he walked out on us", "I cry", "nothing helps", "I'm less afraid than yesterday",
]  # fmt: skip


@pytest.mark.parametrize("place", ["bus-stop", "harbour", "tea-room"])
@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_consoled_twice_in_the_same_words_within_six_turns(seed: int, place: str) -> None:
    rng = random.Random(seed)
    world, _ = take_turn(new_world(seed), "look")
    if place != "bus-stop":
        world, _ = take_turn(world, f"go to the {place}")
    recent: list[set[str]] = []
    for _ in range(40):
        line = rng.choice(SORROWS)
        world, text = take_turn(world, line)
        said = {s for part in text.split("\n\n") for s in sentences(part)}
        assert said, line
        for earlier in recent[-6:]:
            assert not said & earlier, (line, said & earlier)
        recent.append(said)


@pytest.mark.parametrize("line", ["where is the key", "who has the key", "where can I find the lighthouse key?"])
def test_the_key_of_a_locked_door_can_be_asked_after_before_it_was_seen(line: str) -> None:
    world, _ = take_turn(new_world(7), "look")
    for there in ("bus stop", "lighthouse"):
        world, _ = take_turn(world, f"go to the {there}")
        _, text = take_turn(world, line)
        assert re.search("Ines|headland", text), text


@pytest.mark.parametrize("line", ["does anyone live here", "who lives here?", "is anybody around?"])
def test_who_is_here_can_be_asked_however(line: str) -> None:
    world, _ = take_turn(new_world(7), "look")
    _, text = take_turn(world, line)
    assert re.search("nobody|harbour", text), text


def test_what_is_there_now_is_answered_and_not_what_has_gone() -> None:
    world, _ = take_turn(new_world(7), "look")
    _, text = take_turn(world, "I'm not sad anymore, just empty")
    assert "rooms are empty" not in text
    assert "gone off somewhere" not in text


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("where does the lane go?", "the lane tips downhill to the village green"),
        ("where does that lane lead", "the lane tips downhill to the village green"),
        ("turn the postcard over", "postcard|back|stamp"),
    ],
)
def test_a_way_and_the_back_of_a_thing_can_be_asked_after(line: str, wanted: str) -> None:
    world, _ = take_turn(new_world(7), "look")
    _, text = take_turn(world, line)
    assert re.search(wanted, text, re.IGNORECASE), text
    assert "isn't what" not in text


@pytest.mark.parametrize(
    "line", ["pick up something pretty", "what is he mending?", "take anything you like", "examine it all"]
)
def test_what_names_nothing_is_not_said_back(line: str) -> None:
    world, _ = take_turn(new_world(7), "look")
    _, text = take_turn(world, line)
    assert not re.search(r"no (something|anything|he|she|it)\b", text, re.IGNORECASE), text


def test_a_place_along_which_one_goes_is_gone_to() -> None:
    world, _ = take_turn(new_world(7), "go to the harbour")
    world, _ = take_turn(world, "go out along the beach")
    assert world.player.at == "shingle-beach" or "beach" in world.player.at
