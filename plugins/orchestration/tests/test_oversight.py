"""Who hears of what the checks said: interventions, alarms, reviews and records, whatever these services do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tta_crisis import CRISIS, Assessment, Disclosure, Intervention
from tta_kernel import Kernel, NoConfig, Plugin, Service, hookimpl
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_notify import NOTIFY, Notification, Receipt
from tta_orchestration import ORCHESTRATION
from tta_orchestration.testing import Check, telling
from tta_program import LayeredSettings
from tta_safety import REVIEWS, About, Channel, CheckedTurn, Finding, Review, Verdict

SAFE = Verdict("checked", "safe")
FOUND = Finding(rule="no-sea@3", category="method", level="blocked")
BLOCKED = Verdict("checked", "blocked", 0.9, findings=(FOUND,), alternative="Something else is told.")
CRISIS_SEEN = Verdict("checked", "warning", 0.8, ("suicide", "panic"))


class Humans:
    """Takes disclosures, notifications and reviews, and remembers them."""

    def __init__(self) -> None:
        self.disclosures: list[Disclosure] = []
        self.notifications: list[Notification] = []
        self.reviews: list[Review] = []

    async def open(self, disclosure: Disclosure) -> tuple[Intervention, ...]:
        self.disclosures.append(disclosure)
        return tuple(
            Intervention(id=kind, kind=kind, level="high", assessment=Assessment(kind=kind, level="high"), session="s")
            for kind in disclosure.verdict.kinds
        )

    async def notify(self, notification: Notification) -> Receipt:
        self.notifications.append(notification)
        return Receipt(notification.id, "key", "stored")

    async def add(self, review: Review) -> None:
        self.reviews.append(review)


def services(humans: Any) -> Mapping[Service[Any], object]:
    return {CRISIS: humans, NOTIFY: humans, REVIEWS: humans}


def crisis_of_the_player(text: str, channel: Channel, about: About) -> Verdict:
    return CRISIS_SEEN if channel == "player" else SAFE


def no_sea(text: str, channel: Channel, about: About) -> Verdict:
    return BLOCKED if "sea" in text else SAFE


async def raising(text: str, channel: Channel, about: About) -> Verdict:
    raise RuntimeError(text)


async def test_a_disclosure_opens_an_intervention_with_the_last_turns_and_what_was_seen() -> None:
    humans = Humans()
    check: Check = lambda text, channel, about: CRISIS_SEEN if "pills" in text else SAFE  # noqa: E731
    async with telling(check, services=services(humans)) as k:
        await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
        response = await k.get(ORCHESTRATION).process_user_input("I took all the pills", "s", user="anna")
    (disclosure,) = humans.disclosures
    assert (disclosure.session, disclosure.user, disclosure.turn) == ("s", "anna", 2)
    assert disclosure.admission == response.workflow["run"]
    assert disclosure.verdict.kinds == ("panic", "suicide")
    assert [turn.said for turn in disclosure.turns] == ["hello", "I took all the pills"]
    assert humans.notifications == []


async def test_a_crisis_opens_an_intervention_also_where_another_check_failed() -> None:
    humans = Humans()
    async with telling(crisis_of_the_player, raising, services=services(humans)) as k:
        response = await k.get(ORCHESTRATION).process_user_input("help", "s")
    assert response.outcome == "supportive"
    assert response.verdicts["player"].status == "failed"
    assert len(humans.disclosures) == 1
    assert [notification.severity for notification in humans.notifications] == ["high"]


async def test_a_generated_text_that_is_blocked_is_replaced_kept_for_a_review_and_alarmed() -> None:
    humans = Humans()
    async with telling(no_sea, services=services(humans)) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
    assert response.text == "You said hello. \n\nSomething else is told."
    (review,) = humans.reviews
    assert review.text == "You said hello. The sea answers."
    assert (review.owner, review.rules, review.categories) == ("anna", ("no-sea@3",), ("method",))
    (alarm,) = humans.notifications
    assert (alarm.topic, alarm.owner, alarm.about["run"]) == ("alarm", "anna", response.workflow["run"])
    assert "sea" not in alarm.subject.replace("no-sea@3", "") + alarm.body
    assert humans.disclosures == []


async def test_where_nobody_takes_a_disclosure_the_alarm_is_critical_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    humans = Humans()
    async with telling(crisis_of_the_player, services={NOTIFY: humans}) as k:
        response = await k.get(ORCHESTRATION).process_user_input("my secret words", "s", user="anna")
    assert response.outcome == "supportive"
    assert [(alarm.severity, alarm.owner) for alarm in humans.notifications] == [("critical", "anna")]
    assert "no intervention could be opened" in caplog.text
    assert "secret" not in caplog.text + str(humans.notifications)


@pytest.mark.boundary("tta_crisis.Crises", "tta_safety.Reviews")
@pytest.mark.parametrize("stranger", strangers(returns=Receipt), ids=str)
@pytest.mark.parametrize("check", [crisis_of_the_player, no_sea, raising], ids=["crisis", "blocked", "failed"])
async def test_whatever_the_services_do_that_tell_humans_a_turn_is_answered_and_the_log_has_it(
    stranger: Stranger, check: Check, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd:
        async def open(self, *args: object) -> Any:
            return await stranger()

        notify = add = open

    monkeypatch.setattr("tta_orchestration.oversight.LIMIT", 0.1)
    async with telling(check, services=services(Odd())) as k:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await k.get(ORCHESTRATION).process_user_input("hello", "s")
            return
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert response.outcome in ("supportive", "fallback")
    assert "The sea" not in response.text
    assert "CRITICAL" in caplog.text


class Records(Plugin[NoConfig]):
    """Keeps what was checked."""

    turns: list[CheckedTurn]

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        type(self).turns = []

    @hookimpl
    async def turn_checked(self, turn: CheckedTurn) -> None:
        self.turns.append(turn)


class Forgetful(Plugin[NoConfig]):
    @hookimpl
    async def turn_checked(self, turn: CheckedTurn) -> None:
        raise OSError("disk full")


def recorded(check: Check, recorder: type[Plugin[Any]], *, humans: Humans) -> Kernel:
    return telling(check, services=services(humans), plugins={"recorder": recorder})


@pytest.mark.parametrize(
    ("check", "action", "steps"),
    [
        (lambda *_: SAFE, "allow", {"player", "story", "world"}),
        (crisis_of_the_player, "support", {"player"}),
        (no_sea, "replace", {"player", "story"}),
        (raising, "fallback", {"player"}),
    ],
    ids=["allow", "support", "replace", "fallback"],
)
async def test_each_turn_is_recorded_once_with_what_was_done(check: Check, action: str, steps: set[str]) -> None:
    async with recorded(check, Records, humans=Humans()) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
    (turn,) = Records.turns
    assert (turn.action, turn.run, turn.owner) == (action, response.workflow["run"], "anna")
    assert turn.verdicts.keys() == steps


async def test_a_record_that_could_not_be_kept_is_an_alarm_and_no_failure() -> None:
    humans = Humans()
    async with recorded(lambda *_: SAFE, Forgetful, humans=humans) as k:
        assert (await k.get(ORCHESTRATION).process_user_input("hello", "s")).outcome == "story"
    assert ["could not be recorded by recorder" in alarm.subject for alarm in humans.notifications] == [True]


@pytest.mark.boundary("tta_safety.turn_checked")
@pytest.mark.parametrize("stranger", strangers(returns=type(None)), ids=str)
async def test_whatever_a_keeper_of_records_does_the_turn_was_told(stranger: Stranger) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl
        async def turn_checked(self, turn: CheckedTurn) -> Any:
            return await stranger()

    settings = LayeredSettings(hook_timeouts={"turn_checked": LIMIT})
    humans = Humans()
    async with telling(lambda *_: SAFE, services=services(humans), settings=settings, plugins={"odd": Odd}) as k:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await k.get(ORCHESTRATION).process_user_input("hello", "s")
            return
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert (response.outcome, response.kept) == ("story", True)
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
        assert ["could not be recorded" in alarm.subject for alarm in humans.notifications] == [True]
