from __future__ import annotations

import argparse
from typing import Any

import msgspec
import pytest

from tta_kernel import Kernel
from tta_messages import MESSAGES, DeadLetter, MessagesError, QueueSettings, commands
from tta_messages.memory import MemoryMessages
from tta_messages.testing import TYPES, note, settings
from tta_program import Subcommands


class Shared:
    """Stands for a store that another process could see, too."""

    def __init__(self, memory: MemoryMessages) -> None:
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)


@pytest.fixture
def memory() -> MemoryMessages:
    return MemoryMessages(settings(), TYPES)


async def tta(service: object, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["messages", *words])
    return int(await options.command.run(Kernel(plugins={}, services={MESSAGES: service}), options))


async def kill(memory: MemoryMessages, *names: str) -> None:
    await memory.send(*(note("my secret", id=name) for name in names))
    for held in await memory.receive("q", limit=len(names)):
        await memory.nack(held, error="Test", permanent=True)


COMMANDS = [
    ("stats",), ("recover",), ("dlq", "list"), ("dlq", "show", "q", "1"), ("dlq", "requeue", "q", "--all"),
    ("dlq", "purge", "q", "--all"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
async def test_what_is_kept_in_this_very_process_is_of_no_use_to_an_operator(
    memory: MemoryMessages, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tta(memory, *words) == 1
    assert "kept in memory" in capsys.readouterr().err


async def test_stats_are_a_table_or_json(memory: MemoryMessages, capsys: pytest.CaptureFixture[str]) -> None:
    await memory.send(note("a"), note("b", "r"))
    assert await tta(Shared(memory), "stats") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:6] == ["queue", "high", "normal", "low", "oldest", "delayed"]
    assert [line[:6] for line in lines[1:]] == [[name, "0", "1", "0", "0", "s"] for name in "qr"]
    assert await tta(Shared(memory), "stats", "q", "--json") == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown["q"]["waiting"] == {"high": 0, "normal": 1, "low": 0}


async def test_stats_leave_out_queues_of_zeros_unless_asked_for(
    memory: MemoryMessages, capsys: pytest.CaptureFixture[str]
) -> None:
    await memory.send(note("a"))
    await memory.receive("idle")
    assert await tta(Shared(memory), "stats", "--json") == 0
    assert list(msgspec.json.decode(capsys.readouterr().out)) == ["q"]
    for words in (("--all",), ("idle",)):
        assert await tta(Shared(memory), "stats", "--json", *words) == 0
        assert "idle" in msgspec.json.decode(capsys.readouterr().out)


async def test_recover_counts_by_queue(memory: MemoryMessages, capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta(Shared(memory), "recover") == 0
    assert "nothing" in capsys.readouterr().out
    await memory.send(note("a"))
    (held,) = await memory.receive("q")
    await memory.extend(held, 1e-9)  # It is over at once.
    assert await tta(Shared(memory), "recover") == 0
    assert capsys.readouterr().out.split() == ["queue", "recovered", "q", "1"]


async def test_dead_letters_are_listed_without_what_they_say(
    memory: MemoryMessages, capsys: pytest.CaptureFixture[str]
) -> None:
    await kill(memory, "1", "2")
    assert await tta(Shared(memory), "dlq", "list") == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines()] == ["id", "1", "2"]
    assert await tta(Shared(memory), "dlq", "list", "q", "--json") == 0
    shown = capsys.readouterr().out
    assert [letter["reason"] for letter in msgspec.json.decode(shown)] == ["rejected", "rejected"]
    assert "secret" not in out + shown


async def test_a_dead_letter_is_shown_and_its_body_only_on_request(
    memory: MemoryMessages, capsys: pytest.CaptureFixture[str]
) -> None:
    await kill(memory, *(str(n) for n in range(150)))
    for words in ((), ("--json",)):
        assert await tta(Shared(memory), "dlq", "show", "q", "149", *words) == 0
        out = capsys.readouterr().out
        assert "rejected" in out
        assert "secret" not in out
    assert await tta(Shared(memory), "dlq", "show", "q", "149", "--body", "--json") == 0
    assert msgspec.json.decode(capsys.readouterr().out)["body"] == {"text": "my secret", "number": 0}
    assert await tta(Shared(memory), "dlq", "show", "q", "none") == 1
    assert "no dead letter 'none'" in capsys.readouterr().err


async def test_a_corrupt_letter_can_be_shown(memory: MemoryMessages, capsys: pytest.CaptureFixture[str]) -> None:
    class Quarantine(Shared):
        async def dead(self, queue: str, *, limit: int, after: str = "") -> list[DeadLetter]:
            return [DeadLetter("\x1b[2J", queue, "corrupt", "no message", 0, 0.0, None, b"\x00\xff")]

    await memory.send(note("a"))
    assert await tta(Quarantine(memory), "dlq", "list", "q") == 0
    assert "\x1b" not in capsys.readouterr().out
    assert await tta(Quarantine(memory), "dlq", "show", "q", "\x1b[2J", "--body") == 0
    assert "AP8=" in capsys.readouterr().out


async def test_dead_letters_are_requeued_and_purged_by_id_or_all(
    memory: MemoryMessages, capsys: pytest.CaptureFixture[str]
) -> None:
    await kill(memory, "1", "2", "3", "4")
    assert await tta(Shared(memory), "dlq", "requeue", "q", "1") == 0
    assert await tta(Shared(memory), "dlq", "purge", "q", "2", "none") == 1
    assert await tta(Shared(memory), "dlq", "requeue", "q", "--all", "--json") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[:2] == ["requeued: 1", "purged: 1"]
    assert msgspec.json.decode(shown.out.partition("purged: 1")[2]) == {"3": "requeued", "4": "requeued"}
    assert "1 of 2 ids are no dead letters of queue 'q'" in shown.err
    with pytest.raises(SystemExit):
        await tta(Shared(memory), "dlq", "purge", "q")


async def test_whoever_requeues_sees_what_became_of_each(
    memory: MemoryMessages, capsys: pytest.CaptureFixture[str]
) -> None:
    await kill(memory, "1", "2", "3")
    await memory.configure("q", QueueSettings(max_length=1))
    assert await tta(Shared(memory), "dlq", "requeue", "q", "1", "2", "none") == 1
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["requeued:", "1"], ["id", "not requeued"], ["2", "the queue is full"],
        ["none", "the queue has no such dead letter (any more)"],
    ]  # fmt: skip
    assert await tta(Shared(memory), "dlq", "requeue", "q", "1", "3", "--json") == 1
    assert msgspec.json.decode(capsys.readouterr().out) == {"1": "unknown", "3": "queue_full"}
    assert await tta(Shared(memory), "dlq", "requeue", "q", "--all") == 1
    assert await tta(Shared(memory), "dlq", "requeue", "q", "--all") == 1
    await memory.configure("q", QueueSettings())
    assert await tta(Shared(memory), "dlq", "requeue", "q", "--all") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("stats", "quest"), ("recover", "quest"), ("dlq", "list", "quest"), ("dlq", "show", "quest", "1"),
        ("dlq", "requeue", "quest", "--all"), ("dlq", "purge", "quest", "1"),
    ],
    ids=" ".join,
)  # fmt: skip
async def test_a_queue_that_is_not_there_is_said_so(
    memory: MemoryMessages, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tta(Shared(memory), *words) == 1
    assert "there is no queue 'quest', or it has ended; `tta messages stats --all`" in capsys.readouterr().err
    await memory.send(note("a", "quests"))
    assert await tta(Shared(memory), *words) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err[-25:]) == ("", "; did you mean 'quests'?\n")


async def test_nothing_to_show_is_said_and_so_is_that_there_is_more(
    memory: MemoryMessages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tta(Shared(memory), "stats") == 0
    assert "no queue has anything to tell" in capsys.readouterr().err
    assert await tta(Shared(memory), "dlq", "list") == 0
    assert "there are no dead letters" in capsys.readouterr().err
    await kill(memory, "1", "2", "3")
    assert await tta(Shared(memory), "dlq", "list", "--limit", "2", "--json") == 0
    shown = capsys.readouterr()
    assert [letter["id"] for letter in msgspec.json.decode(shown.out)] == ["1", "2"]
    assert "queue 'q' has more than these 2: see --limit" in shown.err
    assert await tta(Shared(memory), "dlq", "list", "--limit", "3") == 0
    assert capsys.readouterr().err == ""
    with pytest.raises(SystemExit):
        await tta(Shared(memory), "dlq", "list", "--limit", "0")
    assert "expected a whole number, at least 1" in capsys.readouterr().err


async def test_a_store_that_is_down_is_said_so(memory: MemoryMessages, capsys: pytest.CaptureFixture[str]) -> None:
    class Down(Shared):
        async def stats(self, queue: str | None) -> None:
            raise MessagesError("no answer")

    assert await tta(Down(memory), "stats") == 1
    assert "can't be used: no answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("stats",), ("recover",), ("dlq", "list"), ("dlq", "requeue", "--all"), ("dlq", "purge", "--all")],
    ids=" ".join,
)
async def test_a_name_that_no_queue_can_have_is_said_so(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shared = Shared(MemoryMessages(settings(), TYPES))
    assert await tta(shared, *words, "no queue") == 1
    assert "an address is 1 to 200" in capsys.readouterr().err
