"""From handing it over to a human who has seen it, through channels that work and channels that don't."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tta_kernel import Context, Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import running, wrong_figures
from tta_notify import (
    NOTIFY,
    OUTBOX,
    Acknowledged,
    Added,
    Config,
    Entry,
    MemoryOutbox,
    Notification,
    NotifyLocal,
    NotifyMemory,
    NotifyPlugin,
    OutboxError,
    Person,
    Text,
    key_of,
)
from tta_notify.testing import RecordingChannel, bringing, eventually

pytestmark = pytest.mark.anyio
ALARM = Notification(id="a", topic="crisis", severity="critical", subject="a person needs you", owner="u")
ROSTER = {
    "anna": {"addresses": {"mail": "anna@example.org"}},
    "bert": {"addresses": {"mail": "bert@example.org"}, "tier": 2},
}


class Following(Plugin[NoConfig]):
    """Follows up on acknowledgements, but for the first time."""

    heard: list[Acknowledged]

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        yield

    @hookimpl
    async def notification_acknowledged(self, acknowledged: Acknowledged) -> None:
        self.heard.append(acknowledged)
        if len(self.heard) == 1:
            raise ValueError("odd")


class Away(MemoryOutbox):
    """An outbox that can be away, for all that is asked."""

    durable = True
    away = False

    async def _ask(self, call: Any) -> Any:
        if self.away:
            call.close()
            raise OutboxError("connection refused")
        return await call

    async def add(self, entry: Entry, *, window: float = 0.0) -> Added:
        return await self._ask(super().add(entry, window=window))  # type: ignore[no-any-return]

    async def take(self, now: float, most: int, ttl: float) -> Any:
        return await self._ask(super().take(now, most, ttl))

    async def put(self, entry: Entry, *, lease: str = "", release: bool = False) -> Any:
        return await self._ask(super().put(entry, lease=lease, release=release))

    async def get(self, key: str) -> Any:
        return await self._ask(super().get(key))

    async def counts(self) -> Any:
        return await self._ask(super().counts())

    async def wake(self) -> Any:
        return await self._ask(super().wake())


def deployment(
    *channels: RecordingChannel, plugins: Sequence[type[Plugin[Any]]] = (), outbox: object = None, **config: Any
) -> Kernel:
    settings: Mapping[str, Any] = {"need_humans": False, "roster": ROSTER, "retry": 0.01, **config}
    memory = [NotifyMemory] if outbox is None else []
    return running(
        NotifyPlugin, NotifyLocal, *memory, bringing(*channels), *plugins, config=settings,
        configs={"notify-local": {"poll": 0.05, "lease": 0.2}}, services={} if outbox is None else {OUTBOX: outbox},
    )  # fmt: skip


async def becomes(kernel: Kernel, wanted: str, id: str = "a") -> None:
    async def is_so() -> bool:
        entry = await kernel.get(NOTIFY).get(id)
        return entry is not None and entry.status == wanted

    await eventually(is_so)


async def test_a_channel_accepts_it_and_a_human_acknowledges_it_and_whoever_follows_up_hears_until_they_do() -> None:
    mail = RecordingChannel()
    Following.heard = []
    async with deployment(mail, plugins=[Following]) as kernel:
        notifier = kernel.get(NOTIFY)
        await notifier.notify(ALARM)
        await becomes(kernel, "accepted")
        [message] = mail.taken
        assert (message.to, message.subject, message.tier) == ("anna@example.org", ALARM.subject, 1)
        await notifier.acknowledge("a", "anna", "command")
        await eventually(lambda: len(Following.heard) == 2)
        assert [each.by for each in Following.heard] == ["anna", "anna"]
        assert Following.heard[0].id == "a"

        async def told() -> bool:
            entry = await notifier.get("a")
            return entry is not None and entry.told and entry.wake is None

        await eventually(told)
        assert await wrong_figures(kernel) == []


async def test_a_channel_that_fails_is_tried_again_under_the_same_id_and_left_alone_after_a_while() -> None:
    mail, pager = RecordingChannel(), RecordingChannel("pager", personal=False)
    mail.refuses = "connection-refused"
    async with deployment(mail, pager, pause=600, pause_after=2, tries=50) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await becomes(kernel, "accepted")
        # The alarm about the channel goes out through the other one.
        await eventually(lambda: len(pager.taken) == 2)
        assert [each.topic for each in pager.taken] == ["crisis", "alarm"]
        assert "mail fails" in pager.taken[1].subject
        await eventually(lambda: mail.tries == 2)
        health = (await kernel.health())["notify"]
        assert (health.status, health.detail) == ("degraded", "channels fail: mail (connection-refused)")
        assert (await kernel.get(NOTIFY).notify(ALARM)).status == "known"


async def test_what_a_channel_refuses_for_good_is_dead_and_the_others_carry_an_alarm() -> None:
    mail, pager = RecordingChannel(), RecordingChannel("pager", personal=False)
    mail.refuses, mail.for_good = "550", True
    async with deployment(mail, pager) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: any(each.topic == "alarm" for each in pager.taken))
        [alarm] = [each for each in pager.taken if each.topic == "alarm"]
        entry = await kernel.get(NOTIFY).get("a")
        assert entry is not None
        assert alarm.body == f"notification {entry.key}, critical: 550"
        # An address that is wrong says nothing of the channel.
        assert (await kernel.health())["notify"].status == "ok"


async def test_whoever_does_not_acknowledge_is_followed_by_the_next_tier() -> None:
    mail = RecordingChannel()
    async with deployment(mail, severities={"critical": {"escalate_after": 0.05}}) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: len(mail.taken) == 2)
    assert [each.to for each in mail.taken] == ["anna@example.org", "bert@example.org"]
    assert len({each.id for each in mail.taken}) == 2


async def test_a_channel_that_hangs_holds_up_no_other() -> None:
    mail, pager = RecordingChannel(), RecordingChannel("pager", personal=False)
    mail.hangs = True
    async with deployment(mail, pager, limit=0.2) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: bool(pager.taken))
        await becomes(kernel, "accepted")
        await eventually(lambda: mail.tries >= 2)


async def test_an_outbox_that_is_away_stops_nothing_and_has_it_all_when_it_is_back() -> None:
    mail, outbox = RecordingChannel(), Away()
    outbox.away = True
    async with deployment(mail, outbox=outbox, severities={"critical": {"escalate_after": 0.1}}) as kernel:
        notifier = kernel.get(NOTIFY)
        assert (await notifier.notify(ALARM)).status == "kept"
        # It is even escalated meanwhile.
        await eventually(lambda: len(mail.taken) == 2)
        health = (await kernel.health())["notify"]
        assert (health.status, health.detail) == ("degraded", "notifications go out from memory: connection refused")
        assert (await notifier.acknowledge("a", "bert", "callback")).status == "acknowledged"
        outbox.away = False
        await eventually(lambda: len(outbox) == 1)
        await eventually(lambda: not len(notifier.lane))
        stored = await notifier.get("a")
        assert stored is not None
        assert stored.acknowledgement is not None
        assert stored.acknowledgement.by == "bert"
        assert [each.status for each in stored.deliveries] == ["accepted", "accepted"]
        assert len(mail.taken) == 2
        await notifier.notify(Notification(id="b", topic="alarm", severity="low", subject="all is well"))
        assert (await kernel.health())["notify"].status == "ok"


async def test_an_outbox_that_goes_away_while_it_is_sent_hears_what_became_of_it() -> None:
    class Leaving(RecordingChannel):
        async def send(self, message: Any) -> Any:
            outbox.away = True
            return await super().send(message)

    outbox, mail = Away(), Leaving()
    async with deployment(mail, outbox=outbox) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: bool(mail.taken))
        outbox.away = False
        await becomes(kernel, "accepted")
        assert len(mail.taken) == 1


async def test_what_is_critical_is_escalated_while_the_outbox_is_away() -> None:
    mail, outbox = RecordingChannel(), Away()
    async with deployment(mail, outbox=outbox, severities={"critical": {"escalate_after": 0.3}}) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await becomes(kernel, "accepted")
        outbox.away = True
        await eventually(lambda: len(mail.taken) == 2)
        assert mail.taken[1].to == "bert@example.org"
        outbox.away = False
        await eventually(lambda: not len(kernel.get(NOTIFY).lane))
        entry = await kernel.get(NOTIFY).get("a")
        assert entry is not None
        assert [each.status for each in entry.deliveries] == ["accepted", "accepted"]
        assert len(mail.taken) == 2


async def test_what_is_being_sent_when_the_process_stops_is_not_sent_again_by_the_next() -> None:
    class Slow(RecordingChannel):
        async def send(self, message: Any) -> Any:
            self.tries += 1
            await anyio.sleep(0.2)
            return await super().send(message)

    mail, outbox = Slow(), Away()
    async with deployment(mail, outbox=outbox) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: mail.tries == 1)
    entry = await outbox.get(key_of("a"))
    assert entry.status == "accepted"
    assert len(mail.taken) == 1


async def test_what_could_not_be_stored_when_the_process_stops_is_told(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Away()
    outbox.away = True
    async with deployment(RecordingChannel(), outbox=outbox) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: len(kernel.get(NOTIFY).lane) == 1)
    assert "1 notifications end with this process" in caplog.text


async def test_a_new_roster_counts_from_the_next_notification_on() -> None:
    mail = RecordingChannel()
    async with deployment(mail) as kernel:
        roster = {"carla": Person({"mail": "carla@example.org"})}
        kernel.get(NOTIFY).configure(Config(need_humans=False, roster=roster))
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: bool(mail.taken))
    assert mail.taken[0].to == "carla@example.org"


async def test_somebody_reads_it_in_their_own_language() -> None:
    mail = RecordingChannel()
    roster = {"anna": {"addresses": {"mail": "a@example.org"}, "locale": "de-AT"}}
    async with deployment(mail, roster=roster) as kernel:
        await kernel.get(NOTIFY).notify(
            Notification(
                id="a", topic="crisis", severity="critical", subject="a person needs you",
                texts={"de": Text("jemand braucht Sie")},
            )
        )  # fmt: skip
        await eventually(lambda: bool(mail.taken))
    assert mail.taken[0].subject == "jemand braucht Sie"


async def test_nothing_that_is_told_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    mail = RecordingChannel()
    mail.refuses = "421"
    async with deployment(mail, tries=2, pause_after=50) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: mail.tries >= 3)
    for text in (ALARM.subject, "example.org", "anna", '"u"'):
        assert text not in caplog.text
