"""A deployment of all that is installed, and a person who leaves words everywhere in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import yaml

from tta_crisis import CRISIS, CrisisQuery
from tta_kernel import Kernel
from tta_messages import FAILED, MESSAGES, Failure, Message
from tta_notify import NOTIFY, Notification
from tta_orchestration import ORCHESTRATION
from tta_orchestration.testing import TURN, Teller, checking
from tta_program import load
from tta_safety import REVIEWS, About, Channel, Verdict
from tta_schedules import SCHEDULES, Schedule
from tta_sessions import SESSIONS
from tta_workflows import JOURNAL, WORKFLOWS, RunQuery

from .traces import in_memory

USER = "anna.of.the.lighthouse"
SECRET = "Zqsecretx"
WORDS = (USER, SECRET)
CRISIS_SAID = f"I can't do this any more, I want to die tonight, {SECRET}"
BLOCKED_SAID = f"look around and tell what is forbidden, {SECRET}"
SHARED = (
    "agents", "audit", "breakers", "crisis", "messages", "notify", "safety", "schedules", "sessions", "tools",
    "workflows",
)  # fmt: skip
"""Whose backends on Redis run where there is one."""


def objecting(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "blocked" if channel == "story" and "forbidden" in text else "safe")


def deployment(folder: Path, redis: str = "") -> Kernel:
    """Make a kernel of all that is installed, with stores in memory, or on a Redis, and the audit in files."""
    plugins: dict[str, Any] = {
        "audit-file": {"config": {"folder": str(folder / "audit"), "sync": "never"}},
        "access-file": {"config": {"file": str(folder / "keys.json")}},
        "notify": {"config": {"need_humans": False}},
        "crisis": {"config": {"need_durable": False}},
        "workflows": {"config": {"workflows": {"turn": TURN, "asked": ASKED}}},
    }
    if redis:
        plugins["redis"] = {"enabled": True, "config": {"url": redis}}
        plugins["audit-file"] = {"enabled": False}
        plugins["world-memory"] = {"enabled": False}  # Without it the session's world is all there is.
        plugins |= {f"{name}-redis": {"enabled": True} for name in SHARED}
    place = folder / "config"
    place.mkdir()
    (place / "base.yaml").write_text("{}", encoding="utf-8")
    (place / "development.yaml").write_text(yaml.safe_dump({"plugins": plugins}), encoding="utf-8")
    added: dict[str, Any] = {"teller": Teller, "objecting": checking(objecting)}
    return Kernel(load(place, "development", {}), plugins=added, installed=True)


ASKED = {"steps": [{"id": "agreed", "signal": "person", "timeout": "4m"}]}


async def plant(kernel: Kernel) -> None:
    """Let a person play, despair, and be kept from a story; and let what lasts have their words beside."""
    play = kernel.get(ORCHESTRATION).process_user_input
    assert (await play(f"look around, {SECRET}", "s-1", user=USER)).outcome == "story"
    assert (await play(BLOCKED_SAID, "s-1", user=USER)).verdicts["story"].level == "blocked"
    assert (await play(CRISIS_SAID, "s-1", user=USER)).verdicts["player"].kinds
    await kernel.get(NOTIFY).notify(
        Notification(id="n-1", topic="alarm", severity="low", subject="a test", owner=USER, about={"session": "s-1"})
    )
    await kernel.get(SCHEDULES).add("asks", Schedule("asked", input={"said": SECRET}, owner=USER, every=3600.0))
    await kernel.get(WORKFLOWS).start("asked", {"said": SECRET}, key="waits", owner=USER)
    messages = kernel.get(MESSAGES)
    await messages.send(Message.to("letters", FAILED, Failure(SECRET), owner=USER))
    await messages.send(Message.to("unread", FAILED, Failure(SECRET), owner=USER))
    for delivery in await messages.receive("letters"):
        await messages.nack(delivery, error="nobody reads it", permanent=True)


async def there_is_something_everywhere(kernel: Kernel) -> None:
    """Prove that what is to be forgotten has come to each store."""
    assert await kernel.get(SESSIONS).get("s-1")
    assert len((await kernel.get(JOURNAL).list(RunQuery())).runs) >= 4
    assert (await kernel.get(CRISIS).page(CrisisQuery())).interventions
    assert [each.owner for each in await kernel.get(REVIEWS).list()] == [USER]
    assert len((await kernel.get(NOTIFY).page()).entries) >= 3
    assert await kernel.get(SCHEDULES).get("asks")
    assert await kernel.get(MESSAGES).dead("letters")


async def left_in_memory(kernel: Kernel) -> Mapping[str, str]:
    """Return what is left once all who hear of events have read that runs were forgotten."""
    left: Mapping[str, str] = {}
    with anyio.move_on_after(60):
        while left := in_memory(kernel, WORDS):  # noqa: ASYNC110 - who has read an event tells nobody
            await anyio.sleep(0.05)
    return left
