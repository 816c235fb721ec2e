"""The command ``tta forget``, over a kernel whose plugins keep something of a person, or can't say."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import running
from tta_program import Subcommands
from tta_sessions import SessionsMemory, SessionsPlugin, commands


class Notes(Plugin[NoConfig]):
    """Stands for a store that the running processes share."""

    answer: Any = 3

    @hookimpl
    async def forget(self, user: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer if user == "anna" else 0


def answering(answer: Any) -> type[Notes]:
    return type("Answers", (Notes,), {"answer": answer})


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    return parser.parse_args(["forget", *words])


async def tta_forget(kernel: Kernel, *words: str) -> int:
    options = parsed(*words)
    async with kernel:
        return int(await options.command.run(kernel, options))


async def test_it_prints_what_each_plugin_has_erased(capsys: pytest.CaptureFixture[str]) -> None:
    kernel = running(SessionsPlugin, {"notes": Notes, "empty": answering(0)})
    assert await tta_forget(kernel, "anna") == 0
    captured = capsys.readouterr()
    assert captured.out.split() == ["plugin", "erased", "empty", "0", "notes", "3"]
    assert captured.err == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OSError("no connection"), "OSError: no connection"),
        (None, "Escaped: answered with NoneType, where int is due"),
        (-1, "it answered -1, and not how many things it erased"),
    ],
)
async def test_who_fails_is_named_beside_what_the_others_have_erased(
    answer: Any, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = running(SessionsPlugin, {"notes": Notes, "broken": answering(answer)})
    assert await tta_forget(kernel, "anna") == 1
    captured = capsys.readouterr()
    assert captured.out.split() == ["plugin", "erased", "notes", "3"]
    failed, advice = captured.err.splitlines()
    assert failed == f"tta forget: broken: {why}"
    assert "run it again" in advice


async def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    kernel = running(SessionsPlugin, {"notes": Notes, "broken": answering(OSError("gone"))})
    assert await tta_forget(kernel, "anna", "--json") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"erased": {"notes": 3}, "failed": {"broken": "OSError: gone"}}
    assert captured.err == ""


async def test_a_store_in_the_memory_of_this_very_process_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta_forget(running(SessionsPlugin, SessionsMemory, {"notes": Notes}), "anna") == 1
    captured = capsys.readouterr()
    assert captured.out.split() == ["plugin", "erased", "notes", "3"]
    assert captured.err.startswith("tta forget: sessions-memory: it keeps everything in memory")


async def test_where_nobody_keeps_anything_nothing_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta_forget(running(SessionsPlugin), "anna") == 1
    assert capsys.readouterr().err == "tta forget: no enabled plugin keeps anything of a person\n"


@pytest.mark.parametrize("user", ["", "\udcff"])
def test_nobody_cannot_be_forgotten(user: str) -> None:
    with pytest.raises(SystemExit) as exit:
        parsed(user)
    assert exit.value.code == 2
