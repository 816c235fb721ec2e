"""The checker finds what is wrong: each of these histories was made so that it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from tta_messages import QueueStats

from .checker import End, Fault, Verdict, check
from .history import Completed, Entry, HandlerReturned, HandlerStarted, Held, HistoryWriter, Invoked, read

OFFSET = 1_000_000.0  # of the wall clock


class HistoryBuilder:
    """Makes histories up; each step takes 10 ms, and belongs to one process."""

    def __init__(self) -> None:
        self.histories: dict[str, list[Entry]] = defaultdict(list)
        self.now = 100.0
        self.calls = 0
        self.holds: dict[tuple[str, str], Held] = {}
        self.sent = self.acknowledged = 0
        self.dead: dict[str, str] = {}

    def append(self, process: str, entry: Entry) -> None:
        self.histories[process].append(entry)

    def invoke(self, process: str, operation: str, **fields: object) -> int:
        self.calls += 1
        self.now += 0.01
        self.append(process, Invoked(self.calls, operation, self.now, self.now + OFFSET, **fields))  # type: ignore[arg-type]
        return self.calls

    def complete(self, process: str, call: int, **fields: object) -> None:
        self.now += 0.01
        self.append(process, Completed(call, self.now, self.now + OFFSET, **fields))  # type: ignore[arg-type]

    def send(self, *ids: str, process: str = "p", result: str = "accepted", priority: int = 5) -> None:
        call = self.invoke(process, "send", ids=ids, priorities=(priority,) * len(ids))
        self.complete(process, call, results=(result,) * len(ids))
        self.sent += len(ids) if result == "accepted" else 0

    def receive(self, process: str, *ids: str, visibility: float = 1.0, attempt: int = 1, token: str = "") -> None:
        call = self.invoke(process, "receive", seconds=visibility)
        deadline = self.now + OFFSET + 0.005 + visibility
        held = tuple(Held(id, token or f"{call}{id}", deadline, attempt) for id in ids)
        for each in held:
            self.holds[process, each.id] = each
        self.complete(process, call, held=held)

    def handle(self, process: str, id: str) -> None:
        token = self.holds[process, id].token
        self.append(process, HandlerStarted(id, token, self.now, self.now + OFFSET))
        self.now += 0.01
        self.append(process, HandlerReturned(id, token, self.now, self.now + OFFSET))

    def settle(
        self, process: str, *ids: str, operation: str = "ack", result: str = "yes", seconds: float = 0.0
    ) -> None:
        tokens = tuple(self.holds[process, id].token for id in ids)
        call = self.invoke(process, operation, ids=ids, tokens=tokens, seconds=seconds)
        self.complete(process, call, results=(result,) * len(ids))
        if operation == "ack" and result == "yes":
            self.acknowledged += len(ids)

    def consume(self, process: str, *ids: str) -> None:
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
def history() -> HistoryBuilder:
    return HistoryBuilder()


def test_a_history_in_which_all_went_well_is_right(history: HistoryBuilder) -> None:
    history.send("p.1", "p.2")
    history.send("p.3")
    history.consume("c", "p.1", "p.2", "p.3")
    verdict = history.verdict(orderly=True)
    assert (verdict.wrong, verdict.accepted, verdict.handled, verdict.duplicates) == ([], 3, 3, 0)


def test_a_message_that_was_accepted_and_never_handled_is_lost(history: HistoryBuilder) -> None:
    history.send("1", "2")
    history.consume("c", "1")
    history.sent = 1  # The server itself knows nothing of it any more.
    assert any("2 was accepted, and is neither handled nor dead" in each for each in history.verdict().wrong)
    history.dead["2"] = "retries"
    history.sent = 2
    assert history.verdict().wrong == []


def test_a_message_that_was_handled_but_never_given_back_is_lost_when_it_is_gone(history: HistoryBuilder) -> None:
    history.send("1")
    history.receive("c", "1")
    history.handle("c", "1")
    assert any("it is lost" in each for each in history.verdict().wrong)


def test_a_message_that_was_not_accepted_may_be_gone(history: HistoryBuilder) -> None:
    history.send("1", result="queue_full")
    history.send("2", result="not_replicated")
    assert (history.verdict().wrong, history.verdict().not_replicated) == ([], 1)


@pytest.mark.parametrize(
    ("keeps_sends", "window", "lost"), [(False, 1.0, 1), (True, 1.0, 0), (False, 0.0, 0), (False, 0.001, 0)]
)  # fmt: skip
def test_only_a_fault_that_may_take_sends_excuses_a_loss(
    history: HistoryBuilder, keeps_sends: bool, window: float, lost: int
) -> None:
    history.send("1")
    history.now += 0.5
    at = history.now + OFFSET
    verdict = history.verdict(faults=[Fault(at, at + 1, window, keeps_sends)])
    assert verdict.lost == lost
    assert any("it is lost" in each for each in verdict.wrong) is not bool(lost)


def test_two_who_hold_one_message_at_once_are_found(history: HistoryBuilder) -> None:
    history.send("1")
    history.receive("c1", "1")
    history.receive("c2", "1", attempt=2)
    history.handle("c2", "1")
    history.settle("c2", "1")
    (line,) = history.verdict().wrong
    assert "1 was given to c2 while c1 held it for another 0.980 s" in line


def test_a_hold_that_is_over_or_given_back_is_in_nobodys_way(history: HistoryBuilder) -> None:
    history.send("1", "2", "3")
    history.receive("c1", "1", "2", "3")
    history.settle("c1", "2", operation="release")
    history.receive("c2", "2")
    history.invoke("c1", "nack", ids=("3",), tokens=(history.holds["c1", "3"].token,))  # It was never answered.
    history.receive("c2", "3", attempt=2)
    history.now += 1.0
    history.receive("c2", "1", attempt=2)
    for id in "123":
        history.handle("c2", id)
    history.settle("c2", "1", "2", "3")
    assert history.verdict().wrong == []


def test_a_hold_lasts_as_long_as_it_was_extended(history: HistoryBuilder) -> None:
    history.send("1")
    history.receive("c1", "1")
    history.now += 0.5
    history.settle("c1", "1", operation="extend", seconds=1.0)
    history.now += 0.6
    history.receive("c2", "1", attempt=2)
    history.handle("c2", "1")
    history.settle("c2", "1")
    (line,) = history.verdict().wrong
    assert "while c1 held it" in line


def test_an_extension_that_was_refused_or_never_answered_proves_nothing(history: HistoryBuilder) -> None:
    history.send("1", "2")
    history.receive("c1", "1", "2")
    history.now += 0.5
    history.settle("c1", "1", operation="extend", seconds=1.0, result="no")
    history.invoke("c1", "extend", ids=("2",), tokens=(history.holds["c1", "2"].token,), seconds=1.0)
    history.now += 0.6
    history.receive("c2", "1", "2", attempt=2)
    for id in "12":
        history.handle("c2", id)
    history.settle("c2", "1", "2")
    assert history.verdict().wrong == []


@pytest.mark.parametrize("window", [1.0, 0.001])
def test_a_hold_that_a_server_may_have_forgotten_is_counted(history: HistoryBuilder, window: float) -> None:
    history.send("1")
    history.receive("c1", "1")
    history.now += 0.1
    at = history.now + OFFSET
    history.receive("c2", "1")
    history.handle("c2", "1")
    history.settle("c2", "1")
    verdict = history.verdict(faults=[Fault(at, at, window)])
    assert (verdict.voided, len(verdict.wrong)) == ((1, 0) if window == 1.0 else (0, 1))


def test_what_is_acknowledged_after_another_got_it_is_found(history: HistoryBuilder) -> None:
    history.send("1")
    history.receive("c1", "1")
    history.now += 1.1
    history.receive("c2", "1", attempt=2)
    history.handle("c2", "1")
    history.settle("c1", "1")
    history.settle("c2", "1", result="no")
    (line,) = history.verdict().wrong
    assert "1 was acknowledged by c1 after c2 had got it" in line


def test_what_comes_back_after_its_acknowledgement_is_found(history: HistoryBuilder) -> None:
    history.send("1")
    history.consume("c1", "1")
    history.receive("c2", "1", attempt=2)
    (line,) = history.verdict().wrong
    assert "1 was given to c2 after c1 had acknowledged it" in line


def test_a_wrong_order_is_found(history: HistoryBuilder) -> None:
    history.send("p.1")
    history.send("q.1", process="q")
    history.consume("c", "q.1")
    history.consume("c", "p.1")
    (line,) = history.verdict(orderly=True).wrong
    assert "p.1 was in the queue before q.1 was sent, and received after it" in line


def test_a_wrong_order_within_one_call_is_found(history: HistoryBuilder) -> None:
    history.send("p.1", "p.2")
    history.consume("c", "p.2", "p.1")
    (line,) = history.verdict(orderly=True).wrong
    assert "p.2 was sent after" in line


def test_what_is_sent_at_once_or_has_another_priority_has_no_order(history: HistoryBuilder) -> None:
    first = history.invoke("p", "send", ids=("p.1",), priorities=(5,))
    history.send("q.1", process="q")
    history.complete("p", first, results=("accepted",))
    history.send("q.2", process="q", priority=9)
    history.sent += 1
    history.consume("c", "q.2", "q.1", "p.1")
    assert history.verdict(orderly=True).wrong == []


def test_what_is_handled_twice_is_found_where_nobody_crashed(history: HistoryBuilder) -> None:
    history.send("1")
    history.consume("c", "1")
    history.handle("c", "1")
    assert history.verdict().wrong == []
    assert history.verdict().duplicates == 1
    (line,) = history.verdict(orderly=True).wrong
    assert "1 was handled 2 times" in line


def test_a_message_from_nowhere_is_found(history: HistoryBuilder) -> None:
    history.consume("c", "1")
    history.acknowledged = 0
    (line,) = history.verdict().wrong
    assert "1 was received, and nobody ever sent it" in line


def test_a_token_that_is_given_out_twice_is_found(history: HistoryBuilder) -> None:
    history.send("1")
    history.receive("c1", "1", token="t")
    history.settle("c1", "1", operation="release")
    history.receive("c2", "1", token="t")
    assert any("received twice with one token" in each for each in history.verdict().wrong)


def test_one_attempt_too_many_is_found(history: HistoryBuilder) -> None:
    history.send("1")
    history.receive("c", "1", attempt=5)
    history.handle("c", "1")
    history.settle("c", "1")
    (line,) = history.verdict().wrong
    assert "as attempt 5 of 4" in line


def test_numbers_that_do_not_add_up_are_found(history: HistoryBuilder) -> None:
    history.send("1")
    history.consume("c", "1")
    history.acknowledged = 2
    (line,) = history.verdict().wrong
    assert "1 were sent, but 2 acknowledged" in line


def test_what_is_left_in_the_queue_is_found(history: HistoryBuilder) -> None:
    history.send("1", "2")
    history.consume("c", "1")
    assert any("1 messages are in the queue" in each for each in history.verdict(left=1).wrong)


def test_what_is_begun_after_its_hold_was_over_is_counted(history: HistoryBuilder) -> None:
    history.send("1")
    history.receive("c", "1")
    history.now += 1.5
    history.handle("c", "1")
    history.settle("c", "1", result="no")
    assert history.verdict().late == 1


def test_a_clock_that_was_set_is_found(history: HistoryBuilder) -> None:
    history.send("1")
    history.consume("c", "1")
    history.append("c", HandlerStarted("1", history.holds["c", "1"].token, history.now, history.now + OFFSET + 1))
    assert any("the wall clock was set" in each for each in history.verdict().wrong)


def test_a_history_survives_the_one_who_writes_it(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "c.jsonl")
    call = writer.invoked("send", ids=("1",), priorities=(5,))
    writer.completed(call, results=("accepted",))
    with (tmp_path / "c.jsonl").open("ab") as file:
        file.write(b'{"type":"completed","call":2')  # Killed while it wrote.
    invoked, completed = read(tmp_path / "c.jsonl")
    assert isinstance(invoked, Invoked)
    assert isinstance(completed, Completed)
    assert (invoked.ids, completed.results) == (("1",), ("accepted",))
    assert invoked.at <= completed.at
