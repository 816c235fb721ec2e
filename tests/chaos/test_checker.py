"""The checker finds what is wrong: each of these histories was made so that it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from tta_messages import QueueStats

from .checker import End, Fault, Verdict, check
from .history import Answered, Began, Called, Entry, Handled, Held, Recorder, read

OFFSET = 1_000_000.0  # of the wall clock


class Tale:
    """Makes histories up; each thing takes 10 ms, and is told by one process."""

    def __init__(self) -> None:
        self.histories: dict[str, list[Entry]] = defaultdict(list)
        self.now = 100.0
        self.calls = 0
        self.holds: dict[tuple[str, str], Held] = {}
        self.sent = self.acknowledged = 0
        self.dead: dict[str, str] = {}

    def tell(self, process: str, entry: Entry) -> None:
        self.histories[process].append(entry)

    def call(self, process: str, what: str, **fields: object) -> int:
        self.calls += 1
        self.now += 0.01
        self.tell(process, Called(self.calls, what, self.now, self.now + OFFSET, **fields))  # type: ignore[arg-type]
        return self.calls

    def answer(self, process: str, call: int, **fields: object) -> None:
        self.now += 0.01
        self.tell(process, Answered(call, self.now, self.now + OFFSET, **fields))  # type: ignore[arg-type]

    def send(self, *ids: str, process: str = "p", result: str = "accepted", priority: int = 5) -> None:
        call = self.call(process, "send", ids=ids, priorities=(priority,) * len(ids))
        self.answer(process, call, results=(result,) * len(ids))
        self.sent += len(ids) if result == "accepted" else 0

    def receive(self, process: str, *ids: str, visibility: float = 1.0, attempt: int = 1, token: str = "") -> None:
        call = self.call(process, "receive", seconds=visibility)
        deadline = self.now + OFFSET + 0.005 + visibility
        held = tuple(Held(id, token or f"{call}{id}", deadline, attempt) for id in ids)
        for each in held:
            self.holds[process, each.id] = each
        self.answer(process, call, held=held)

    def handle(self, process: str, id: str) -> None:
        token = self.holds[process, id].token
        self.tell(process, Began(id, token, self.now, self.now + OFFSET))
        self.now += 0.01
        self.tell(process, Handled(id, token, self.now, self.now + OFFSET))

    def settle(self, process: str, *ids: str, what: str = "ack", result: str = "yes", seconds: float = 0.0) -> None:
        tokens = tuple(self.holds[process, id].token for id in ids)
        call = self.call(process, what, ids=ids, tokens=tokens, seconds=seconds)
        self.answer(process, call, results=(result,) * len(ids))
        if what == "ack" and result == "yes":
            self.acknowledged += len(ids)

    def whole(self, process: str, *ids: str) -> None:
        """Receive, handle and acknowledge."""
        self.receive(process, *ids)
        for id in ids:
            self.handle(process, id)
        self.settle(process, *ids)

    def verdict(self, *, orderly: bool = False, faults: Sequence[Fault] = (), left: int = 0) -> Verdict:
        stats = QueueStats(
            {"normal": left}, sent=self.sent, acknowledged=self.acknowledged, died=len(self.dead)
        )  # fmt: skip
        return check(self.histories, End(stats, self.dead), retries=3, faults=faults, orderly=orderly)


@pytest.fixture
def tale() -> Tale:
    return Tale()


def test_a_history_in_which_all_went_well_is_right(tale: Tale) -> None:
    tale.send("p.1", "p.2")
    tale.send("p.3")
    tale.whole("c", "p.1", "p.2", "p.3")
    verdict = tale.verdict(orderly=True)
    assert (verdict.wrong, verdict.accepted, verdict.handled, verdict.again) == ([], 3, 3, 0)


def test_a_message_that_was_accepted_and_never_handled_is_lost(tale: Tale) -> None:
    tale.send("1", "2")
    tale.whole("c", "1")
    tale.sent = 1  # The server itself knows nothing of it any more.
    assert any("2 was accepted, and is neither handled nor dead" in each for each in tale.verdict().wrong)
    tale.dead["2"] = "retries"
    tale.sent = 2
    assert tale.verdict().wrong == []


def test_a_message_that_was_handled_but_never_given_back_is_lost_when_it_is_gone(tale: Tale) -> None:
    tale.send("1")
    tale.receive("c", "1")
    tale.handle("c", "1")
    assert any("it is lost" in each for each in tale.verdict().wrong)


def test_a_message_that_was_not_accepted_may_be_gone(tale: Tale) -> None:
    tale.send("1", result="queue_full")
    tale.send("2", result="not_replicated")
    assert (tale.verdict().wrong, tale.verdict().not_replicated) == ([], 1)


@pytest.mark.parametrize(
    ("keeps_sends", "window", "lost"), [(False, 1.0, 1), (True, 1.0, 0), (False, 0.0, 0), (False, 0.001, 0)]
)  # fmt: skip
def test_only_a_fault_that_may_take_sends_excuses_a_loss(
    tale: Tale, keeps_sends: bool, window: float, lost: int
) -> None:
    tale.send("1")
    tale.now += 0.5
    at = tale.now + OFFSET
    verdict = tale.verdict(faults=[Fault(at, at + 1, window, keeps_sends)])
    assert verdict.lost == lost
    assert any("it is lost" in each for each in verdict.wrong) is not bool(lost)


def test_two_who_hold_one_message_at_once_are_found(tale: Tale) -> None:
    tale.send("1")
    tale.receive("c1", "1")
    tale.receive("c2", "1", attempt=2)
    tale.handle("c2", "1")
    tale.settle("c2", "1")
    (line,) = tale.verdict().wrong
    assert "1 was given to c2 while c1 held it for another 0.980 s" in line


def test_a_hold_that_is_over_or_given_back_is_in_nobodys_way(tale: Tale) -> None:
    tale.send("1", "2", "3")
    tale.receive("c1", "1", "2", "3")
    tale.settle("c1", "2", what="release")
    tale.receive("c2", "2")
    tale.call("c1", "nack", ids=("3",), tokens=(tale.holds["c1", "3"].token,))  # It was never answered.
    tale.receive("c2", "3", attempt=2)
    tale.now += 1.0
    tale.receive("c2", "1", attempt=2)
    for id in "123":
        tale.handle("c2", id)
    tale.settle("c2", "1", "2", "3")
    assert tale.verdict().wrong == []


def test_a_hold_lasts_as_long_as_it_was_extended(tale: Tale) -> None:
    tale.send("1")
    tale.receive("c1", "1")
    tale.now += 0.5
    tale.settle("c1", "1", what="extend", seconds=1.0)
    tale.now += 0.6
    tale.receive("c2", "1", attempt=2)
    tale.handle("c2", "1")
    tale.settle("c2", "1")
    (line,) = tale.verdict().wrong
    assert "while c1 held it" in line


def test_an_extension_that_was_refused_or_never_answered_proves_nothing(tale: Tale) -> None:
    tale.send("1", "2")
    tale.receive("c1", "1", "2")
    tale.now += 0.5
    tale.settle("c1", "1", what="extend", seconds=1.0, result="no")
    tale.call("c1", "extend", ids=("2",), tokens=(tale.holds["c1", "2"].token,), seconds=1.0)
    tale.now += 0.6
    tale.receive("c2", "1", "2", attempt=2)
    for id in "12":
        tale.handle("c2", id)
    tale.settle("c2", "1", "2")
    assert tale.verdict().wrong == []


@pytest.mark.parametrize("window", [1.0, 0.001])
def test_a_hold_that_a_server_may_have_forgotten_is_counted(tale: Tale, window: float) -> None:
    tale.send("1")
    tale.receive("c1", "1")
    tale.now += 0.1
    at = tale.now + OFFSET
    tale.receive("c2", "1")
    tale.handle("c2", "1")
    tale.settle("c2", "1")
    verdict = tale.verdict(faults=[Fault(at, at, window)])
    assert (verdict.voided, len(verdict.wrong)) == ((1, 0) if window == 1.0 else (0, 1))


def test_what_is_acknowledged_after_another_got_it_is_found(tale: Tale) -> None:
    tale.send("1")
    tale.receive("c1", "1")
    tale.now += 1.1
    tale.receive("c2", "1", attempt=2)
    tale.handle("c2", "1")
    tale.settle("c1", "1")
    tale.settle("c2", "1", result="no")
    (line,) = tale.verdict().wrong
    assert "1 was acknowledged by c1 after c2 had got it" in line


def test_what_comes_back_after_its_acknowledgement_is_found(tale: Tale) -> None:
    tale.send("1")
    tale.whole("c1", "1")
    tale.receive("c2", "1", attempt=2)
    (line,) = tale.verdict().wrong
    assert "1 was given to c2 after c1 had acknowledged it" in line


def test_a_wrong_order_is_found(tale: Tale) -> None:
    tale.send("p.1")
    tale.send("q.1", process="q")
    tale.whole("c", "q.1")
    tale.whole("c", "p.1")
    (line,) = tale.verdict(orderly=True).wrong
    assert "p.1 was in the queue before q.1 was sent, and received after it" in line


def test_a_wrong_order_within_one_call_is_found(tale: Tale) -> None:
    tale.send("p.1", "p.2")
    tale.whole("c", "p.2", "p.1")
    (line,) = tale.verdict(orderly=True).wrong
    assert "p.2 was sent after" in line


def test_what_is_sent_at_once_or_has_another_priority_has_no_order(tale: Tale) -> None:
    first = tale.call("p", "send", ids=("p.1",), priorities=(5,))
    tale.send("q.1", process="q")
    tale.answer("p", first, results=("accepted",))
    tale.send("q.2", process="q", priority=9)
    tale.sent += 1
    tale.whole("c", "q.2", "q.1", "p.1")
    assert tale.verdict(orderly=True).wrong == []


def test_what_is_handled_twice_is_found_where_nobody_crashed(tale: Tale) -> None:
    tale.send("1")
    tale.whole("c", "1")
    tale.handle("c", "1")
    assert tale.verdict().wrong == []
    assert tale.verdict().again == 1
    (line,) = tale.verdict(orderly=True).wrong
    assert "1 was handled 2 times" in line


def test_a_message_from_nowhere_is_found(tale: Tale) -> None:
    tale.whole("c", "1")
    tale.acknowledged = 0
    (line,) = tale.verdict().wrong
    assert "1 was received, and nobody ever sent it" in line


def test_a_token_that_is_given_out_twice_is_found(tale: Tale) -> None:
    tale.send("1")
    tale.receive("c1", "1", token="t")
    tale.settle("c1", "1", what="release")
    tale.receive("c2", "1", token="t")
    assert any("received twice with one token" in each for each in tale.verdict().wrong)


def test_one_attempt_too_many_is_found(tale: Tale) -> None:
    tale.send("1")
    tale.receive("c", "1", attempt=5)
    tale.handle("c", "1")
    tale.settle("c", "1")
    (line,) = tale.verdict().wrong
    assert "as attempt 5 of 4" in line


def test_numbers_that_do_not_add_up_are_found(tale: Tale) -> None:
    tale.send("1")
    tale.whole("c", "1")
    tale.acknowledged = 2
    (line,) = tale.verdict().wrong
    assert "1 were sent, but 2 acknowledged" in line


def test_what_is_left_in_the_queue_is_found(tale: Tale) -> None:
    tale.send("1", "2")
    tale.whole("c", "1")
    assert any("1 messages are in the queue" in each for each in tale.verdict(left=1).wrong)


def test_what_is_begun_after_its_hold_was_over_is_counted(tale: Tale) -> None:
    tale.send("1")
    tale.receive("c", "1")
    tale.now += 1.5
    tale.handle("c", "1")
    tale.settle("c", "1", result="no")
    assert tale.verdict().late == 1


def test_a_clock_that_was_set_is_found(tale: Tale) -> None:
    tale.send("1")
    tale.whole("c", "1")
    tale.tell("c", Began("1", tale.holds["c", "1"].token, tale.now, tale.now + OFFSET + 1))
    assert any("the wall clock was set" in each for each in tale.verdict().wrong)


def test_a_history_survives_the_one_who_writes_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "c.jsonl")
    call = recorder.called("send", ids=("1",), priorities=(5,))
    recorder.answered(call, results=("accepted",))
    with (tmp_path / "c.jsonl").open("ab") as file:
        file.write(b'{"type":"answered","call":2')  # Killed while it wrote.
    called, answered = read(tmp_path / "c.jsonl")
    assert isinstance(called, Called)
    assert isinstance(answered, Answered)
    assert (called.ids, answered.results) == (("1",), ("accepted",))
    assert called.at <= answered.at
