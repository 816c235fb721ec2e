"""The commands, beside a running system."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tta_kernel.testing import running
from tta_notify import OUTBOX, Entry, MemoryOutbox, NotifyPlugin, OutboxError, Page
from tta_notify.commands import add
from tta_notify.testing import RecordingChannel, bringing, entry
from tta_program import Subcommands

pytestmark = pytest.mark.anyio
ROSTER = {"anna": {"addresses": {"mail": "anna@example.org"}}}


class Elsewhere:
    """An outbox that isn't this process's own memory."""

    durable = True

    def __init__(self) -> None:
        self._outbox = MemoryOutbox()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)


async def run(outbox: object, *argv: str, channels: Sequence[RecordingChannel] = (RecordingChannel(),)) -> int:
    parser = argparse.ArgumentParser()
    add(Subcommands(parser))
    options = parser.parse_args(["notify", *argv])
    config = {"need_humans": False, "roster": ROSTER}
    async with running(NotifyPlugin, bringing(*channels), config=config, services={OUTBOX: outbox}) as kernel:
        return int(await options.command.run(kernel, options))


@pytest.fixture
async def outbox() -> Elsewhere:
    found = Elsewhere()
    for number in range(3):
        await found.add(entry(str(number), at=float(number)))
    return found


async def test_they_are_listed(outbox: Elsewhere, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(outbox, "list", "--limit", "2") == 0
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()[1:]] == [entry("2").key, entry("1").key]
    cursor = shown.err.split()[-1]
    assert await run(outbox, "list", "--cursor", cursor, "--json") == 0
    [found] = json.loads(capsys.readouterr().out)["items"]
    assert (found["key"], found["status"]) == (entry("0").key, "pending")
    assert await run(outbox, "list", "--status", "dead") == 0
    assert "nobody was told anything" in capsys.readouterr().err


async def test_one_is_acknowledged_by_whoever_says_who_they_are(
    outbox: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(outbox, "acknowledge", entry("1").key, "--by", "anna") == 0
    assert "acknowledged by anna" in capsys.readouterr().out
    found: Entry = await outbox.get(entry("1").key)
    assert found.acknowledgement is not None
    assert found.acknowledgement.how == "command"
    assert await run(outbox, "acknowledge", "nothing") == 1
    assert "no notification 'nothing'" in capsys.readouterr().err


async def test_channels_are_tried_from_this_process(outbox: Elsewhere, capsys: pytest.CaptureFixture[str]) -> None:
    mail, pager = RecordingChannel(), RecordingChannel("pager", personal=False)
    assert await run(outbox, "test", channels=(mail, pager)) == 0
    assert capsys.readouterr().out.splitlines() == ["mail, anna: accepted (ok)", "pager: accepted (ok)"]
    assert mail.taken[0].topic == "test"
    pager.refuses = "HTTP 500"
    assert await run(outbox, "test", "--channel", "pager", channels=(mail, pager)) == 1
    assert capsys.readouterr().out == "pager: HTTP 500\n"
    assert await run(outbox, "test", "--channel", "fax", channels=(mail,)) == 1
    assert "no channel fax; known are: mail" in capsys.readouterr().err


async def test_an_outbox_in_memory_is_another_process_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(MemoryOutbox(), "list") == 1
    assert "in memory" in capsys.readouterr().err


async def test_an_outbox_that_is_away_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    class Away(Elsewhere):
        async def page(self, *_: object, **__: object) -> Page:
            raise OutboxError("connection refused")

    assert await run(Away(), "list") == 1
    assert "the outbox can't be used: connection refused" in capsys.readouterr().err
