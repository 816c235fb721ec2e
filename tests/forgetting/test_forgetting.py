"""What a person has said and was told comes to every store there is; forgotten, no word of it and no name is left."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from tta_crisis import CRISIS, CrisisQuery
from tta_kernel import Kernel
from tta_kernel.testing import logged
from tta_messages import FAILED, MESSAGES, Failure, Message
from tta_notify import NOTIFY, Notification
from tta_orchestration import ORCHESTRATION
from tta_orchestration.testing import TURN, Teller, checking
from tta_program import Subcommands, load
from tta_redis.testing import RedisServer, redis_server
from tta_safety import REVIEWS, About, Channel, Verdict
from tta_schedules import SCHEDULES, Schedule
from tta_sessions import SESSIONS, commands
from tta_sessions.hookspecs import forget
from tta_workflows import JOURNAL, WORKFLOWS, RunQuery
from tta_world import WORLD, Player, diff
from tta_world.testing import some_world

from .traces import in_files, in_memory, in_redis

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


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


def objecting(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "blocked" if channel == "story" and "forbidden" in text else "safe")


def deployment(folder: Path, server: RedisServer | None) -> Kernel:
    """Make a kernel of all that is installed, with stores in memory, or on Redis, and the audit in files."""
    plugins: dict[str, Any] = {
        "audit-file": {"config": {"folder": str(folder / "audit"), "sync": "never"}},
        "access-file": {"config": {"file": str(folder / "keys.json")}},
        "notify": {"config": {"need_humans": False}},
        "crisis": {"config": {"need_durable": False}},
        "workflows": {"config": {"workflows": {"turn": TURN, "asked": ASKED}}},
    }
    if server is not None:
        plugins["redis"] = {"enabled": True, "config": {"url": server.url}}
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


async def forgotten(kernel: Kernel) -> Mapping[str, int]:
    answers = await kernel.ask(forget, USER)
    assert {name: answer for name, answer in answers.items() if not isinstance(answer, int)} == {}
    return {name: answer for name, answer in answers.items() if isinstance(answer, int)}


async def left_in_memory(kernel: Kernel) -> Mapping[str, str]:
    """Return what is left once all who hear of events have read that runs were forgotten."""
    left: Mapping[str, str] = {}
    with anyio.move_on_after(10):
        while left := in_memory(kernel, WORDS):  # noqa: ASYNC110 - who has read an event tells nobody
            await anyio.sleep(0.05)
    return left


async def tta_forget(kernel: Kernel) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["forget", USER])
    return int(await options.command.run(kernel, options))


async def test_in_memory_no_word_and_no_name_is_left(tmp_path: Path) -> None:
    with logged("") as log:
        async with deployment(tmp_path, None) as kernel:
            await plant(kernel)
            world = some_world(player=Player("hall", name=SECRET))
            await kernel.get(WORLD).apply("s-1", 0, diff(None, world), "t-1", owner=USER)
            del world
            await there_is_something_everywhere(kernel)
            assert in_memory(kernel, WORDS).keys() == {*WORDS}
            erased = await forgotten(kernel)
            left = await left_in_memory(kernel)
    assert left == {}
    assert {name for name, count in erased.items() if count} >= {
        "audit", "crisis-memory", "events", "messages-memory", "notify-memory", "safety-memory", "schedules-memory",
        "sessions-memory", "workflows-memory", "world-memory",
    }  # fmt: skip
    assert in_files(tmp_path, WORDS) == {}
    assert [line for line in log if SECRET in line or USER in line] == []


async def test_on_redis_no_word_and_no_name_is_left(
    tmp_path: Path, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with logged("") as log:
        async with deployment(tmp_path, server) as kernel:
            await plant(kernel)
            await there_is_something_everywhere(kernel)
            assert in_redis(server, WORDS).keys() == {*WORDS}
            assert await tta_forget(kernel) == 0
            left = await left_in_memory(kernel)
        told = capsys.readouterr().out
    assert left == {}
    assert in_redis(server, WORDS) == {}
    assert in_files(tmp_path, WORDS) == {}
    assert [line for line in log if SECRET in line or USER in line] == []
    for name in SHARED:
        assert name == "breakers" or f"\n{name}-redis " in told or name == "audit"


async def test_where_one_store_fails_the_others_forget_and_it_is_said_what_to_do(
    tmp_path: Path, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with deployment(tmp_path, server) as kernel:
        await plant(kernel)
        broken = server.command("KEYS", f"*crisis*owner:{USER}")[0]
        server.command("RENAME", broken, "aside")
        server.command("SET", broken, "not an index")
        assert await tta_forget(kernel) == 1
        said = capsys.readouterr()
        assert "crisis-redis: CrisisError" in said.err
        assert "run it again" in said.err
        assert "sessions-redis" in said.out
        server.command("RENAME", "aside", broken)
        assert await tta_forget(kernel) == 0
    assert in_redis(server, WORDS) == {}


def test_the_page_on_data_protection_names_every_plugin_that_forgets(root: Path) -> None:
    page = (root / "docs" / "data-protection.md").read_text(encoding="utf-8")
    names = {each.name for each in entry_points(group="tta.plugins") if hasattr(each.load(), forget.__name__)}
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert len(names) > 15
