"""Which texts a world holds: what a check isn't shown, a player may read all the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tta_orchestration.worlds import PART, NoWorld, parts, texts_in


class Place(msgspec.Struct):
    name: str


def test_each_text_is_found_wherever_it_stands() -> None:
    world = {
        "a": 1,
        "b": [None, "c", ("d", {"e": {"f"}})],
        7: b"g",
        "h": Place("i"),
        "j": True,
        "k": bytearray(b"\xffl"),
    }
    assert texts_in(world) == {*"abcdefghijk", "name", "\ufffdl"}


def test_a_digest_is_no_text_since_nobody_reads_it() -> None:
    world = {"said": ["204b7e52", "9017e51c"], "0badc0de" * 8: "breezy", "word": "decade", "long": "0badc0de" * 8 + "a"}
    assert texts_in(world) == {"said", "breezy", "word", "decade", "long", "0badc0de" * 8 + "a"}


def endless() -> dict[str, Any]:
    world: dict[str, Any] = {}
    world["within"] = world
    return world


@pytest.mark.parametrize("odd", [object(), endless(), {"a": [lambda: "b"]}])
def test_what_no_store_keeps_is_no_world(odd: object) -> None:
    with pytest.raises(NoWorld):
        texts_in(odd)


def test_parts_hold_every_text_once_and_are_bounded() -> None:
    texts = [f"{number:0100}" for number in range(100)]
    found = list(parts(texts))
    assert "\n".join(found).split("\n") == texts
    assert all(len(part) <= PART + 1 for part in found)
