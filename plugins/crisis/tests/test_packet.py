"""What is handed over says nothing of whom."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_crisis import Exchange, Telling, redacted
from tta_crisis.packet import TELLING, packet
from tta_crisis.testing import disclosure, finding, intervention
from tta_sessions import Consent, Flags


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to anna.b+c@mail.example.org, please", "write to [mail] please"),
        ("call +49 (151) 23 45-67 or 112", "call [number] or [number]"),
        ("see https://example.org/anna?x=1 now", "see [address] now"),
        ("ask @anna_b about it", "ask [address] about it"),
        ("my name is anna and i hurt", "my name is [name] and i hurt"),
        ("I saw Dr. Miller with Anna-Lena yesterday", "I saw Dr. [name] with [name] yesterday"),
        ("Nobody helps. Everything is grey.", "Nobody helps. Everything is grey."),
        ("I'm tired and I can't sleep", "I'm tired and I can't sleep"),
        ("I CAN'T GO ON", "I CAN'T GO ON"),
        ("on 12.03.1999 in Berlin", "on [number] in [name]"),
    ],
)
def test_names_numbers_and_addresses_are_taken_out(text: str, shown: str) -> None:
    assert redacted(text) == shown


@given(st.text(max_size=300))
def test_any_text_can_be_redacted_and_stays_short(text: str) -> None:
    shown = redacted(text)
    assert len(shown) <= 1000
    assert not any(each.isascii() and each.isdigit() for each in shown)


@pytest.mark.parametrize(
    ("telling", "flags", "level", "reads"),
    [
        (TELLING["adult"], Flags(), "critical", "withheld"),
        (TELLING["adult"], Flags(consent=Consent(data=True)), "low", "agreed"),
        (TELLING["child"], Flags(consent=Consent(data=True)), "critical", "withheld"),
        (TELLING["unknown"], Flags(consent=Consent(contact=True)), "critical", "withheld"),
        (Telling(turns="always"), Flags(), "low", "agreed"),
        (Telling(vital=True), Flags(), "critical", "vital"),
        (Telling(vital=True), Flags(), "high", "withheld"),
    ],
)
def test_turns_are_handed_over_as_the_table_says(telling: Telling, flags: Flags, level: Any, reads: str) -> None:
    found = packet(intervention(level=level), disclosure(), flags, telling, most=6)
    assert found.reads == reads
    assert bool(found.turns) == (reads != "withheld")


def test_only_the_last_turns_are_handed_over_and_no_span_of_a_finding() -> None:
    told = disclosure("r", finding(), turns=tuple(Exchange(n, f"one {n}", "two") for n in range(9)))
    found = packet(intervention(), told, Flags(), Telling(turns="always"), most=2)
    assert [each.turn for each in found.turns] == [7, 8]
    assert packet(intervention(), told, Flags(), Telling(turns="always"), most=0).turns == ()
    assert "span" not in found.clues[0].__struct_fields__
