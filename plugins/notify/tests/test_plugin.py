"""The plugin as a deployment has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tta_kernel.testing import problems, published, running
from tta_notify import (
    NOTIFY,
    Notification,
    NotificationAcknowledged,
    NotifyMemory,
    NotifyPlugin,
    UnknownNotification,
)
from tta_notify.testing import RecordingChannel, bringing
from tta_sessions import SessionsPlugin
from tta_sessions.hookspecs import forget

README = Path(__file__).resolve().parents[1] / "README.md"
ALONE = {"need_humans": False}
pytestmark = pytest.mark.anyio
ALARM = Notification(id="run-1:player:panic", topic="crisis", severity="critical", subject="a person needs you")


async def test_what_is_handed_over_is_stored_and_a_human_acknowledges_it() -> None:
    async with running(NotifyPlugin, NotifyMemory, config=ALONE) as kernel:
        notifier = kernel.get(NOTIFY)
        receipt = await notifier.notify(ALARM)
        assert (receipt.id, receipt.status) == (ALARM.id, "stored")
        assert (await notifier.notify(ALARM)).status == "known"
        with published(kernel, NotificationAcknowledged) as events:
            entry = await notifier.acknowledge(receipt.key, "anna", "command")
            assert (await events.next()).key == receipt.key
        assert entry.status == "acknowledged"
        assert (await notifier.acknowledge(ALARM.id, "bert")) == entry
        assert list((await notifier.page()).entries) == [entry]


async def test_who_has_no_name_acknowledges_nothing_and_nobody_what_is_unknown() -> None:
    async with running(NotifyPlugin, NotifyMemory, config=ALONE) as kernel:
        notifier = kernel.get(NOTIFY)
        await notifier.notify(ALARM)
        with pytest.raises(ValueError, match="has a name"):
            await notifier.acknowledge(ALARM.id, " ")
        with pytest.raises(UnknownNotification):
            await notifier.acknowledge("nothing", "anna")


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"roster": {"a": {"addresses": {}, "hours": "always"}}}, "roster.a: hours read like"),
        ({"roster": {"a": {"addresses": {}, "zone": "Moon/Base"}}}, "roster.a: there is no time zone"),
        ({"callback_secret": "short"}, "callback_secret: is shorter"),
        ({"severities": {"critical": {"channels": ["queue"]}}}, "severities.critical.channels"),
        ({"retry": "1h"}, "longest_retry"),
    ],
)
def test_what_makes_no_sense_is_refused(config: dict[str, object], where: str) -> None:
    found = problems(NotifyPlugin, NotifyMemory, config=config)
    assert any(where in each for each in found), found


async def test_the_example_in_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec", dont_inherit=True), names)
    async with running(NotifyPlugin, NotifyMemory, config=ALONE) as kernel:
        assert await names["call_for_help"](kernel.get(NOTIFY), "i-1", "u") == "stored"


async def test_what_is_in_memory_can_be_forgotten() -> None:
    async with running(NotifyPlugin, NotifyMemory, SessionsPlugin, config=ALONE) as kernel:
        await kernel.get(NOTIFY).notify(Notification(id="b", topic="t", severity="low", subject="s", owner="u"))
        assert await kernel.ask(forget, "u") == {"notify": 0, "notify-memory": 1}


def test_a_deployment_in_which_nobody_is_told_is_objected_to() -> None:
    found = problems(NotifyPlugin, NotifyMemory, config={})
    assert [each.partition(";")[0] for each in found] == [
        "plugin 'notify': no channel reaches a human",
        "plugins.notify.config.roster: nobody is to be told",
        "plugin 'notify': what isn't acknowledged yet ends with its process",
    ]
    assert problems(NotifyPlugin, NotifyMemory, config=ALONE) == []


def test_names_that_lead_to_no_channel_are_objected_to() -> None:
    config = {
        "need_humans": False, "severities": {"high": {"channels": ["mial", "queue"]}},
        "roster": {"anna": {"addresses": {"fax": "1"}}},
    }  # fmt: skip
    [severity, roster] = problems(NotifyPlugin, NotifyMemory, bringing(RecordingChannel()), config=config)
    assert (
        severity == "plugins.notify.config.severities.high.channels: there is no channel 'mial'; known are: mail, queue"
    )
    assert roster == "plugins.notify.config.roster.anna.addresses: there is no channel 'fax'; known are: mail"
