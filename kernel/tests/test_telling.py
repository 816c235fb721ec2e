"""A command that changes something is told to whoever keeps a record of it, however it ends."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

import pytest

from tta_kernel import Kernel, NoConfig, Plugin, State, hookimpl
from tta_kernel.testing import running
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_program import CommandRan, LayeredSettings, Subcommands, hookspecs
from tta_program.commands import skip_what_it_leaves_alone
from tta_program.telling import told


class Program(Plugin[NoConfig]):
    """Brings the program's hooks, as the program does for what it runs."""

    hookspecs: ClassVar[ModuleType | None] = hookspecs


class Recorder(Plugin[NoConfig]):
    """Keeps what it is told."""

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self.told: list[CommandRan] = []

    @hookimpl(optionalhook=True)
    async def command_ran(self, ran: CommandRan) -> None:
        self.told.append(ran)


class Bystander(Plugin[NoConfig]):
    """Has nothing to do with any of it."""


def parsed(run: Any, *, mutates: bool = True, target: str = "thing") -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tta")
    subcommands = Subcommands(parser)
    added = subcommands.add("thing end", run, help="end it", mutates=mutates, target=target if mutates else "")
    added.add_argument("thing", nargs="*")
    return parser.parse_args(["thing", "end", "a", "b"])


async def told_of(run: Callable[..., Any], *, mutates: bool = True) -> tuple[int, list[CommandRan]]:
    options = parsed(run, mutates=mutates)
    kernel = running(Program, Recorder)
    recorder = kernel.records["recorder"].plugin
    assert isinstance(recorder, Recorder)
    async with kernel:
        code = await told(kernel, options.command, options)
    return code, recorder.told


def returning(code: int) -> Callable[..., Any]:
    async def run(kernel: Kernel, options: argparse.Namespace) -> int:
        return code

    return run


@pytest.mark.parametrize(("code", "outcome"), [(0, "done"), (1, "wanting"), (2, "wanting")])
async def test_it_is_told_with_its_target_and_its_outcome(code: int, outcome: Any) -> None:
    assert await told_of(returning(code)) == (code, [CommandRan("thing end", "a,b", outcome)])


async def test_one_that_changes_nothing_is_told_to_nobody() -> None:
    assert await told_of(returning(0), mutates=False) == (0, [])


async def test_one_that_raises_has_failed_and_raises_all_the_same() -> None:
    async def run(kernel: Kernel, options: argparse.Namespace) -> int:
        raise ValueError("odd")

    options = parsed(run)
    kernel = running(Program, Recorder)
    recorder = kernel.records["recorder"].plugin
    assert isinstance(recorder, Recorder)
    async with kernel:
        with pytest.raises(ValueError, match="odd"):
            await told(kernel, options.command, options)
    assert [each.outcome for each in recorder.told] == ["failed"]


@pytest.mark.parametrize("stranger", strangers("async"), ids=str)
async def test_what_could_not_be_recorded_is_told_and_the_others_record_it(
    stranger: Stranger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        async def command_ran(self, ran: CommandRan) -> None:
            return await stranger()  # type: ignore[no-any-return]

    options = parsed(returning(0))
    kernel = running(Program, Odd, Recorder, settings=LayeredSettings(hook_timeouts={"command_ran": LIMIT}))
    recorder = kernel.records["recorder"].plugin
    assert isinstance(recorder, Recorder)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            async with kernel:
                await told(kernel, options.command, options)
        return
    async with kernel:
        code = await told(kernel, options.command, options)
    assert [each.outcome for each in recorder.told] == ["done"]
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
        assert code == 1
        assert "this is not recorded: odd" in capsys.readouterr().err


async def test_whoever_records_it_is_started_for_it_and_nobody_else() -> None:
    options = parsed(returning(0))
    kernel = running(Program, Recorder, Bystander)
    skip_what_it_leaves_alone(options.command, kernel, also=[hookspecs.command_ran])
    states = {name: record.state for name, record in kernel.records.items()}
    assert states == {"program": State.SKIPPED, "recorder": State.READY, "bystander": State.SKIPPED}


def test_a_target_of_one_that_changes_nothing_is_a_mistake() -> None:
    subcommands = Subcommands(argparse.ArgumentParser(prog="tta"))
    with pytest.raises(ValueError, match="mutates"):
        subcommands.add("thing show", returning(0), help="show it", target="thing")
