"""What a caller makes of the signals about its call."""

from __future__ import annotations

from typing import Any

from tta_agents import Reply
from tta_agents.pending import PendingCall
from tta_agents.testing.echo import ECHO
from tta_agents.wire import Accepted, Answered, Failed, Pieces, Released


def reply_of(text: str) -> Reply:
    return Reply(ECHO, {"text": text}, 0.0)


def received(*signals: Any) -> PendingCall:
    found = PendingCall("c", ECHO, stream=True)
    for signal in signals:
        found.on_signal(signal)
    return found


def told(found: PendingCall) -> str:
    text = ""
    while isinstance(piece := found.next(), str):
        text += piece
    return text


ONE, TWO = Accepted("c", "1", ECHO, "p", 1), Accepted("c", "2", ECHO, "q", 2)


def test_pieces_out_of_order_and_twice_come_once_and_in_order() -> None:
    found = received(
        ONE,
        Pieces("c", "1", 2, ("c",)),
        Pieces("c", "1", 0, ("a", "b")),
        Answered("c", "1", reply_of("abcd"), 4),
        Pieces("c", "1", 1, ("b", "c", "d")),
    )
    assert told(found) == "abcd"
    assert found.reply == reply_of("abcd")


def test_an_answer_waits_for_its_pieces() -> None:
    found = received(ONE, Answered("c", "1", reply_of("ab"), 2), Pieces("c", "1", 0, ("a",)))
    assert found.reply is None
    found.on_signal(Pieces("c", "1", 1, ("b",)))
    assert found.reply is not None


def test_an_earlier_execution_is_not_heard_any_more() -> None:
    found = received(TWO, ONE, Pieces("c", "1", 0, ("x",)), Failed("c", "1", "failed"), Pieces("c", "2", 0, ("a",)))
    assert found.error is None
    assert found.execution == "2"
    assert told(found) == "a"


def test_an_answer_that_came_at_once_needs_no_acceptance() -> None:
    found = received(Answered("c", "1", reply_of("ab"), delivery=1))
    assert found.reply == reply_of("ab")


def test_an_answer_of_an_earlier_execution_is_not_heard_once_a_later_one_has_begun() -> None:
    found = received(TWO, Answered("c", "1", reply_of("ab"), delivery=1), Failed("c", "1", "failed", delivery=1))
    assert not found.over
    found.on_signal(Failed("c", "3", "tired", delivery=3))
    assert found.error is not None
    assert found.error.code == "tired"


def test_an_answer_at_once_after_half_a_text_goes_on_with_it_or_breaks_it() -> None:
    half = (ONE, Pieces("c", "1", 0, ("a",)))
    assert told(received(*half, Answered("c", "2", reply_of("ab"), delivery=2))) == "ab"
    broken = received(*half, Answered("c", "2", reply_of("xy"), delivery=2))
    assert broken.error is not None
    assert broken.error.code == "stream_broken"


def test_what_was_released_is_nobody_s_until_it_is_accepted_again() -> None:
    found = received(ONE, Pieces("c", "1", 0, ("a",)), Released("c", "1"))
    assert found.process == ""
    again = Accepted("c", "3", ECHO, "q", 1)  # A release doesn't count as an attempt.
    for signal in (again, Pieces("c", "3", 0, ("ab",)), Answered("c", "3", reply_of("ab"), 1)):
        found.on_signal(signal)
    assert told(found) == "ab"
    assert found.reply == reply_of("ab")


def test_pieces_that_never_come_are_not_waited_for_without_bound() -> None:
    found = received(ONE, *(Pieces("c", "1", n, ("a",)) for n in range(1, 1000)))
    assert found.error is not None
    assert found.error.code == "bad_output"
