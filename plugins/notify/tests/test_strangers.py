"""An outbox, channels and hooks that misbehave, whoever wrote them: humans are told all the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import anyio
import pytest

from tta_kernel import NoConfig, Plugin, hookimpl
from tta_kernel.testing import LIMIT, Outcome, Stranger, running, strangers
from tta_notify import (
    NOTIFY,
    Accepted,
    Acknowledged,
    Channel,
    ChannelError,
    Config,
    MemoryOutbox,
    Message,
    Notification,
    Notifier,
    NotifyMemory,
    NotifyPlugin,
    Outbox,
    OutboxError,
    Page,
)
from tta_notify.channels import send_through
from tta_notify.directory import channels_of, follow_up
from tta_notify.outbox import Added, Taken, guard
from tta_notify.testing import HeldClock, eventually
from tta_program import LayeredSettings

pytestmark = pytest.mark.anyio
LOG = logging.getLogger("tta.notify")
ALARM = Notification(id="a", topic="alarm", severity="critical", subject="a channel fails")


def going_on(all: Sequence[Stranger]) -> Sequence[Stranger]:
    """Leave out what ends the program in order."""
    return [each for each in all if each.outcome is not Outcome.STOP]


# A right answer is one, however late it comes.
FAILING = [each for each in strangers("async", returns=Page) if each.outcome is Outcome.FAILURE]


class Odd:
    """An outbox whose calls do what a stranger does."""

    durable = True

    def __init__(self, stranger: Stranger) -> None:
        self._outbox, self._stranger = MemoryOutbox(HeldClock()), stranger

        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        def call(*_: object, **__: object) -> Any:
            self.asked += 1
            return self._stranger()

        return call


@pytest.mark.boundary("tta_notify.Outbox", "tta_notify.Notifier.__init__.outbox")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Added)), ids=str)
async def test_whatever_an_outbox_does_what_is_handed_over_goes_out(stranger: Stranger) -> None:
    notifier = Notifier(guard(cast(Outbox, Odd(stranger)), limit=LIMIT), Config(), LOG, publish=lambda event: None)
    async with notifier.running():
        receipt = await notifier.notify(ALARM)
        if stranger.outcome is Outcome.FAILURE or stranger.name == "never returns":
            assert receipt.status == "kept"
            await eventually(lambda: len(notifier.lane) == 1)


@pytest.mark.parametrize("stranger", FAILING, ids=str)
async def test_what_an_outbox_does_instead_of_answering_is_an_error_of_ours(stranger: Stranger) -> None:
    outbox = guard(cast(Outbox, Odd(stranger)), limit=LIMIT)
    with anyio.fail_after(20), pytest.raises(OutboxError, match="test_strangers"):
        await outbox.page()


@pytest.mark.boundary("tta_notify.Notifier.worker.outbox")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Sequence[Taken])), ids=str)
async def test_whatever_an_outbox_does_whoever_sends_goes_on(stranger: Stranger) -> None:
    notifier = Notifier(MemoryOutbox(HeldClock()), Config(), LOG, publish=lambda event: None)
    odd = Odd(stranger)
    worker = notifier.worker(guard(cast(Outbox, odd), limit=LIMIT), LOG, poll=0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await eventually(lambda: odd.asked >= 2)
        tasks.cancel_scope.cancel()


@pytest.mark.boundary("tta_notify.Notifier.__init__.publish")
@pytest.mark.parametrize("stranger", going_on(strangers("plain", returns=None)), ids=str)
async def test_whatever_hears_of_it_a_human_has_acknowledged(stranger: Stranger) -> None:
    notifier = Notifier(MemoryOutbox(HeldClock()), Config(), LOG, publish=stranger)
    async with notifier.running():
        await notifier.notify(ALARM)
        assert (await notifier.acknowledge("a", "anna")).status == "acknowledged"


class Mail(Channel):
    """A channel that takes everything."""

    name = "mail"

    async def send(self, message: Message) -> Accepted:
        return Accepted("250")


def plugin_that(hook: str, stranger: Stranger) -> type[Plugin[NoConfig]]:
    """Make a plugin whose hook does what a stranger does."""

    class Strange(Plugin[NoConfig]):
        if hook == "notification_channels":

            @hookimpl
            def notification_channels(self) -> Sequence[Channel]:
                return cast(Sequence[Channel], stranger())

        else:

            @hookimpl
            async def notification_acknowledged(self, acknowledged: Acknowledged) -> None:
                await stranger()

    return Strange


class Mailing(Plugin[NoConfig]):
    @hookimpl
    def notification_channels(self) -> Sequence[Channel]:
        return [Mail()]


class Strange(Channel):
    """A channel that does what a stranger does."""

    name = "strange"

    def __init__(self, stranger: Stranger) -> None:
        self._stranger = stranger

    async def send(self, message: Message) -> Accepted:
        return cast(Accepted, await self._stranger())


@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=Accepted)), ids=str)
async def test_whatever_a_channel_does_it_has_accepted_or_failed_in_time(stranger: Stranger) -> None:
    message = Message(id="a", key="a", topic="t", severity="low", subject="s", body="", at=1.0)
    with anyio.fail_after(20):
        if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT) and stranger.name != "answers late":
            with pytest.raises(ChannelError) as caught:
                await send_through(Strange(stranger), message, LIMIT)
            assert caught.value.retryable
        else:
            assert isinstance(await send_through(Strange(stranger), message, LIMIT), Accepted)


@pytest.mark.boundary("tta_notify.notification_channels")
@pytest.mark.parametrize("stranger", going_on(strangers("plain", returns=Sequence[Channel], answer=[])), ids=str)
def test_whatever_brings_channels_those_of_others_can_be_used(stranger: Stranger) -> None:
    kernel = running(NotifyPlugin, NotifyMemory, Mailing, plugin_that("notification_channels", stranger))
    directory = channels_of(kernel.hooks)
    assert [*directory.channels] == ["mail"]
    if stranger.outcome is Outcome.FAILURE:
        assert [problem.plugin for problem in directory.problems] == ["strange"]


@pytest.mark.boundary("tta_notify.notification_acknowledged")
@pytest.mark.parametrize("stranger", going_on(strangers("async", returns=None)), ids=str)
async def test_whoever_follows_up_in_vain_is_known_and_told_again(stranger: Stranger) -> None:
    kernel = running(
        NotifyPlugin, NotifyMemory, plugin_that("notification_acknowledged", stranger),
        config={"need_humans": False}, settings=LayeredSettings(hook_timeouts={"notification_acknowledged": LIMIT}),
    )  # fmt: skip
    async with kernel:
        notifier = kernel.get(NOTIFY)
        await notifier.notify(ALARM)
        entry = await notifier.acknowledge("a", "anna")
        with anyio.fail_after(20):
            untold = await follow_up(kernel.hooks, entry)
        if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
            assert untold == ["strange"]


def test_channels_of_one_name_are_told_and_the_first_is_used() -> None:
    class Other(Mailing):
        pass

    [first, *_] = channels_of(running(NotifyPlugin, NotifyMemory, Mailing, Other).hooks).problems
    assert "'mail', and so does 'mailing'" in str(first)
