"""Whatever a plugin's ``forget`` does, the others erase what they keep, and the command says who failed."""

from __future__ import annotations

import argparse
import json

import pytest

from tta_kernel import NoConfig, Plugin, hookimpl
from tta_kernel.testing import running
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_program import LayeredSettings, Subcommands
from tta_sessions import SessionsPlugin, commands


class Notes(Plugin[NoConfig]):
    """Keeps three things of everybody."""

    @hookimpl
    async def forget(self, user: str) -> int:
        return 3


@pytest.mark.boundary("tta_sessions.forget")
@pytest.mark.parametrize("stranger", strangers("async", returns=int), ids=str)
async def test_whatever_one_plugin_does_the_others_forget(
    stranger: Stranger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl
        async def forget(self, user: str) -> int:
            return await stranger()  # type: ignore[no-any-return]

    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(["forget", "anna", "--json"])
    settings = LayeredSettings(hook_timeouts={"forget": LIMIT})
    kernel = running(SessionsPlugin, {"odd": Odd, "notes": Notes}, settings=settings)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
            async with kernel:
                await options.command.run(kernel, options)
        assert caught.errisinstance(KeyboardInterrupt) or caught.group_contains(KeyboardInterrupt)
        return
    async with kernel:
        code = await options.command.run(kernel, options)
    found = json.loads(capsys.readouterr().out)
    assert found["erased"]["notes"] == 3
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
        assert [*found["failed"]] == ["odd"]
        assert code == 1
