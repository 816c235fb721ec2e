"""Who is told next, when, and through which channel."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from tta_notify import Acknowledgement, Config, Contact, Entry, Person, Rule
from tta_notify.plan import Plan, merged
from tta_notify.testing import RecordingChannel
from tta_notify.testing import entry as entry_of

MAIL, PAGER = RecordingChannel("mail"), RecordingChannel("pager", personal=False)
ANNA, BERT = Person({"mail": "anna@example.org"}), Person({"mail": "bert@example.org"}, tier=2)
ROSTER = {"anna": ANNA, "bert": BERT}
MINUTE = 60.0


def plan(**config: Any) -> Plan:
    return Plan(Config(**({"roster": ROSTER} | config)), {"mail": MAIL, "pager": PAGER})


def sent(entry: Entry) -> set[tuple[str, str, int, int]]:
    return {(each.channel, each.person, each.tier, each.round) for each in entry.deliveries}


def failed(plan: Plan, entry: Entry, now: float, *channels: str) -> Entry:
    """Let all that goes through some channels fail for good."""
    deliveries = tuple(
        plan.after(each, "550", now, retryable=False) if each.channel in channels and each.status == "pending" else each
        for each in entry.deliveries
    )
    return plan.advance(replace(entry, deliveries=deliveries), now)


def test_the_first_tier_is_told_through_all_channels() -> None:
    entry = plan().advance(entry_of(severity="critical"), 1.0)
    assert sent(entry) == {("mail", "anna", 1, 1), ("pager", "", 1, 1)}
    assert (entry.status, entry.wake, entry.escalate_at) == ("pending", 1.0, 1.0 + 5 * MINUTE)


def test_what_is_to_a_contact_goes_to_them_alone_once_and_what_isn_t_never_does() -> None:
    found = plan(contacts={"mum": Contact({"mail": "mum@example.org", "fax": "1"})})
    entry = found.advance(entry_of(severity="high", to="mum"), 1.0)
    assert sent(entry) == {("mail", "mum", 1, 1)}
    assert (entry.status, entry.escalate_at) == ("pending", None)
    assert sent(found.advance(entry, 1.0 + 60 * MINUTE)) == sent(entry)
    assert sent(failed(found, entry, 2.0, "mail")) == sent(entry)
    person = found.person("mum")
    assert person is not None
    assert person.addresses["mail"] == "mum@example.org"
    assert sent(found.advance(entry_of(severity="high"), 1.0)) == {("mail", "anna", 1, 1), ("pager", "", 1, 1)}


def test_what_is_to_a_contact_whom_nobody_knows_any_more_goes_to_the_roster() -> None:
    entry = plan().advance(entry_of(severity="high", to="mum"), 1.0)
    assert sent(entry) == {("mail", "anna", 1, 1), ("pager", "", 1, 1)}


def test_whoever_does_not_acknowledge_in_time_is_followed_by_the_next_tier_and_all_of_them_by_another_round() -> None:
    found = plan()
    entry = found.advance(entry_of(severity="critical"), 1.0)
    assert found.advance(entry, 1.0 + 4 * MINUTE) == entry
    second = found.advance(entry, 1.0 + 5 * MINUTE)
    assert sent(second) - sent(entry) == {("mail", "bert", 2, 1), ("pager", "", 2, 1)}
    third = found.advance(second, 1.0 + 10 * MINUTE)
    assert sent(third) - sent(second) == {("mail", "anna", 1, 2), ("pager", "", 1, 2)}
    assert len({each.id for each in third.deliveries}) == 6
    last = third
    for number in range(3, 20):
        last = found.advance(last, 1.0 + number * 5 * MINUTE)
    assert {(each.tier, each.round) for each in last.deliveries} == {(tier, n) for tier in (1, 2) for n in (1, 2, 3)}
    assert last.escalate_at is None


def test_whoever_hands_it_over_says_how_long_to_wait_and_where_to_begin() -> None:
    entry = entry_of(severity="moderate")
    entry = replace(entry, notification=replace(entry.notification, escalate_after=10.0, tier=2))
    entry = plan().advance(entry, 1.0)
    assert entry.escalate_at == 11.0
    assert {each.tier for each in entry.deliveries} == {2}


def test_what_was_acknowledged_goes_to_nobody_else() -> None:
    found = plan()
    entry = found.advance(entry_of(severity="critical"), 1.0)
    entry = replace(entry, status="acknowledged", acknowledgement=Acknowledgement("anna", 2.0, "link"), wake=2.0)
    later = found.advance(entry, 1e9)
    assert sent(later) == sent(entry)
    assert (later.wake, later.escalate_at) == (2.0, None)
    assert found.advance(replace(later, told=True), 1e9).wake is None


def test_where_nobody_of_a_tier_can_be_told_the_next_one_is_at_once() -> None:
    found = plan(severities={"critical": Rule(("mail",), escalate_after=300.0)})
    entry = found.advance(entry_of(severity="critical"), 1.0)
    second = failed(found, entry, 2.0, "mail")
    assert sent(second) == {("mail", "anna", 1, 1), ("mail", "bert", 2, 1)}
    dead = found.advance(failed(found, second, 3.0, "mail"), 1000.0)
    assert (dead.status, dead.wake) == ("dead", None)


@pytest.mark.parametrize(("severity", "waits"), [("critical", False), ("high", True)])
def test_outside_of_their_hours_people_are_told_what_is_critical_alone(severity: Any, waits: bool) -> None:
    night = datetime.fromisoformat("2026-12-01T03:00+01:00").timestamp()
    morning = datetime.fromisoformat("2026-12-01T08:00+01:00").timestamp()
    anna = Person({"mail": "anna@example.org"}, hours="mon-fri 08:00-18:00", zone="Europe/Berlin")
    found = plan(roster={"anna": anna}, severities={"high": Rule(("mail",), escalate_after=600.0)})
    entry = found.advance(entry_of(severity=severity, at=night), night)
    mail = next(each for each in entry.deliveries if each.channel == "mail")
    assert mail.next == (morning if waits else night)
    # Who isn't at work yet can't be late.
    assert entry.escalate_at == (morning + 600.0 if waits else night + 300.0)


def test_a_try_that_failed_is_made_again_ever_later_and_then_no_more() -> None:
    found = plan(tries=4, retry=10.0, longest_retry=25.0)
    delivery = found.advance(entry_of(), 1.0).deliveries[0]
    pauses = []
    for _ in range(3):
        delivery = found.after(delivery, "time-limit", 100.0, retryable=True)
        pauses.append(delivery.next - 100.0)
    assert [0.75 * long <= pause <= 1.25 * long for pause, long in zip(pauses, (10, 20, 25), strict=True)] == [True] * 3
    assert found.after(delivery, "time-limit", 100.0, retryable=True).status == "dead"


def test_what_nobody_takes_for_a_day_is_dead_however_few_tries_there_were() -> None:
    found = plan(severities={"low": Rule(("pager",))}, roster={})
    entry = found.advance(entry_of(severity="low"), 1.0)
    assert found.advance(entry, 86000.0).status == "pending"
    assert found.advance(entry, 86401.0).status == "dead"


def test_where_no_channel_is_left_it_stands_in_the_operators_list() -> None:
    entry = entry_of(severity="high")
    entry = replace(entry, notification=replace(entry.notification, about={"without": "pager"}))
    found = Plan(Config(), {"pager": PAGER}).advance(entry, 1.0)
    assert sent(found) == {("queue", "", 1, 1)}
    assert (found.status, found.escalate_at) == ("accepted", 1801.0)


def test_two_copies_that_were_worked_on_apart_know_together_what_each_knew() -> None:
    found = plan()
    base = found.advance(entry_of(severity="critical"), 1.0)
    accepted = tuple(replace(each, status="accepted") if each.channel == "pager" else each for each in base.deliveries)
    one = found.advance(replace(base, deliveries=accepted, version=7), 1.0)
    other = failed(found, found.advance(base, 301.0), 302.0, "mail")
    both = merged(one, other, 400.0)
    statuses = {(each.channel, each.tier): each.status for each in both.deliveries}
    assert statuses == {
        ("pager", 1): "accepted", ("mail", 1): "dead", ("mail", 2): "dead", ("pager", 2): "pending",
    }  # fmt: skip
    assert (both.version, both.tier, both.wake) == (7, 2, 400.0)
