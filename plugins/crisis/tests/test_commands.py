"""``tta crises …`` and ``tta safety report``: what a human does on duty, in the words in which they do it."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tta_crisis import CRISIS, CRISIS_STORE, MemoryCrisisStore, commands
from tta_crisis.testing import deployment, disclosure, finding
from tta_kernel import Kernel
from tta_notify import NOTIFY
from tta_program import Subcommands
from tta_sessions import SESSIONS, Consent, Session
from tta_sessions.flags import set_flags

ID = "r-1.player.suicide"


class Durable(MemoryCrisisStore):
    """A store of which the commands think that others see it."""

    durable = True


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    store = Durable(lambda: 1_790_000_000.0)
    async with deployment("crisis-memory", services={CRISIS_STORE: store}) as kernel:
        await set_flags(kernel.get(SESSIONS), "s-1", "anna", consent=Consent(data=True), age_band="adult")
        yield kernel


async def tta(kernel: Kernel, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(words)
    return int(await options.command.run(kernel, options))


async def answer(kernel: Kernel, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert await tta(kernel, *words, "--json") == 0
    return msgspec.json.decode(capsys.readouterr().out)


async def test_a_crisis_is_listed_shown_acknowledged_and_resolved(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    await kernel.get(CRISIS).open(disclosure("r-1", finding(severity=4, temporality="imminent")))
    assert await tta(kernel, "crises", "list", "--status", "open") == 0
    assert await tta(kernel, "crises", "show", ID) == 0
    shown = capsys.readouterr().out
    for word in (ID, "critical", "suicide", "intent", "imminent", "4 of 6", "no diagnosis", "crisis-critical"):
        assert word in shown
    assert "north" not in shown
    assert await tta(kernel, "crises", "acknowledge", ID, "--by", "dr b") == 0
    assert "acknowledged by dr b" in capsys.readouterr().out
    entry = await kernel.get(NOTIFY).get(f"crisis.{ID}")
    assert entry is not None
    assert entry.status == "acknowledged"
    found = await answer(kernel, capsys, "crises", "resolve", ID, "--by", "dr b", "--as", "referred")
    assert (found["status"], found["resolution"]) == ("resolved", "referred")
    listed = await answer(kernel, capsys, "crises", "list", "--status", "resolved")
    assert [each["id"] for each in listed["interventions"]] == [ID]


async def test_a_packet_is_a_command_of_its_own_which_is_audited(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    await kernel.get(CRISIS).open(disclosure())
    found = await answer(kernel, capsys, "crises", "packet", ID)
    assert [each["said"] for each in found["turns"]] == ["I go north with [name]", "call me on [number]"]
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    mutating = {}
    for name in ("list", "show", "packet", "export"):
        words = ["crises", name, *([ID] if name in ("show", "packet") else [])]
        mutating[name] = parser.parse_args(words).command.mutates
    assert mutating == {"list": False, "show": False, "packet": True, "export": False}


async def test_feedback_is_exported_as_ids_and_labels(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    await kernel.get(CRISIS).open(disclosure())
    words = ("crises", "feedback", ID, "override", "--by", "dr b", "--level", "low", "--reason", "it was a song")
    assert await tta(kernel, *words) == 0
    assert await tta(kernel, "crises", "feedback", ID, "false-alarm", "--by", "dr c") == 0
    capsys.readouterr()
    assert await tta(kernel, "crises", "export") == 0
    lines = capsys.readouterr().out.splitlines()
    expected = {"id": ID, "category": "suicide", "assessed": "high"}
    assert [msgspec.json.decode(line) for line in lines] == [
        {**expected, "label": "false-alarm", "level": ""}, {**expected, "label": "override", "level": "low"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("crises", "show", "none"), "there is no intervention 'none'"),
        (("crises", "packet", "none"), "there is no intervention"),
        (("crises", "acknowledge", "none", "--by", "dr b"), "there is no intervention"),
        (("crises", "acknowledge", ID, "--by", " "), "has a name"),
        (("crises", "feedback", ID, "override", "--by", "dr b"), "an override has --level and --reason"),
        (("crises", "feedback", ID, "right", "--by", "dr b", "--level", "low", "--reason", "x"), "nothing else has"),
        (("crises", "feedback", ID, "missed", "--by", "dr b", "--reason", "x" * 1001), "1000"),
    ],
)
async def test_what_can_t_be_done_is_said(
    kernel: Kernel, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    await kernel.get(CRISIS).open(disclosure())
    assert await tta(kernel, *words) == 1
    assert said in capsys.readouterr().err


async def test_in_memory_only_the_running_process_can_look(capsys: pytest.CaptureFixture[str]) -> None:
    async with deployment() as kernel:
        assert await tta(kernel, "crises", "list") == 1
    assert "only the running one can look" in capsys.readouterr().err


async def test_the_report_has_numbers_and_nobody_s_name(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    crises = kernel.get(CRISIS)
    verdicts = [{"verdicts": {"player": {"level": level, "status": "checked"}}} for level in ("safe", "warning")]
    session = await kernel.get(SESSIONS).get("s-1")
    assert session is not None
    await kernel.get(SESSIONS).commit(
        Session("s-1", "anna", session.version, context={**session.context, "turn": 150, "history": verdicts})
    )
    await crises.open(disclosure("r-1", finding("suicide"), finding("panic", 1)))
    await crises.open(disclosure("r-2", finding("panic", 1), user="bert", session="s-2"))
    await crises.acknowledge(ID, by="dr b")
    await crises.resolve("r-2.player.panic", by="dr b", resolution="false-alarm")
    assert await tta(kernel, "safety", "report", "--since", "1d") == 0
    shown = capsys.readouterr().out
    found = await answer(kernel, capsys, "safety", "report", "--since", "1d")
    assert (found["interventions"], found["people"], found["open"]) == (3, 2, 1)
    assert found["by_kind"] == {"panic": 2, "suicide": 1}
    assert found["resolutions"] == {"false-alarm": 1}
    assert found["verdicts"] == {"safe": 1, "warning": 1}
    assert found["reliance"]["of more than 100 turns"] == 1
    assert "anna" not in shown + str(found)
    assert "3, of 2 people" in shown
