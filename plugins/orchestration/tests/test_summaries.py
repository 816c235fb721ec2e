"""Summaries of what is told no longer word for word: made after a commit, by whoever writes them, or by rules."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tta_kernel import Kernel
from tta_kernel.testing import until
from tta_kernel.testing.strangers import Outcome, Stranger, strangers
from tta_orchestration import ORCHESTRATION
from tta_orchestration.background import PAGES
from tta_orchestration.plain import plain
from tta_orchestration.summaries import EVERY
from tta_orchestration.testing import telling
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS, SUMMARISER, Summary, ToSummarise, summary_of

DUE = PAGES + EVERY
"""The turn after which there is a summary."""
BY_RULES = "\n".join(f"{turn}. “line {turn}” — You said line {turn}." for turn in range(1, EVERY + 1))


class Writer:
    """Writes a summary, as a model would."""

    def __init__(self, text: Any = "They talked with the sea.") -> None:
        self.text = text
        self.asked: list[ToSummarise] = []

    async def summarise(self, asked: ToSummarise) -> Any:
        self.asked.append(asked)
        return self.text


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "blocked" if "SECRET" in text else "safe", risk=1.0 if "SECRET" in text else 0.0)


async def play(kernel: Kernel, first: int, last: int) -> None:
    for turn in range(first, last + 1):
        await kernel.get(ORCHESTRATION).process_user_input(f"line {turn}", "s", user="anna")


async def summary(kernel: Kernel) -> Summary:
    """Wait until there is a summary of all that is due."""
    with anyio.fail_after(60):
        while not (found := summary_of(await kernel.get(SESSIONS).get("s"))).turn:
            await anyio.lowlevel.checkpoint()
    return found


async def test_pages_that_agents_are_not_told_any_more_are_summarised_by_rules() -> None:
    async with telling(safe) as kernel:
        await play(kernel, 1, DUE - 1)
        assert summary_of(await kernel.get(SESSIONS).get("s")) == Summary()
        await play(kernel, DUE, DUE)
        assert await summary(kernel) == Summary(BY_RULES, EVERY)


async def test_a_summariser_is_given_the_summary_so_far_and_the_pages_after_it() -> None:
    writer = Writer()
    async with telling(safe, services={SUMMARISER: writer}) as kernel:
        await play(kernel, 1, DUE)
        assert await summary(kernel) == Summary("They talked with the sea.", EVERY)
        await play(kernel, DUE + 1, DUE + EVERY)
        await until(lambda: len(writer.asked) == 2, within=60)
    first, second = writer.asked
    assert ([page.turn for page in first.pages], first.so_far) == ([1, 2, 3, 4], "")
    assert ([page.turn for page in second.pages], second.so_far) == ([5, 6, 7, 8], "They talked with the sea.")


@pytest.mark.parametrize("text", ["", "x" * 2001, "It was a SECRET.", 3, "\udcff\x1b"])
async def test_a_summary_that_is_empty_too_long_or_objected_to_is_made_by_rules(text: Any) -> None:
    async with telling(safe, services={SUMMARISER: Writer(text)}) as kernel:
        await play(kernel, 1, DUE)
        assert (await summary(kernel)).text == BY_RULES


async def test_a_person_who_is_forgotten_while_a_summary_is_written_stays_forgotten() -> None:
    class Slow(Writer):
        async def summarise(self, asked: ToSummarise) -> Any:
            await kernel.get(SESSIONS).forget("anna")
            return await super().summarise(asked)

    writer = Slow()
    kernel = telling(safe, services={SUMMARISER: writer})
    async with kernel:
        await play(kernel, 1, DUE)
        await until(lambda: bool(writer.asked), within=60)
        assert await kernel.get(SESSIONS).get("s") is None


@pytest.mark.boundary("tta_sessions.Summariser")
@pytest.mark.parametrize(
    "stranger",
    [each for each in strangers(returns=str, answer="They talked.") if each.outcome is not Outcome.STOP],
    ids=str,
)
async def test_whatever_a_summariser_does_turns_go_on_and_there_is_a_summary(stranger: Stranger) -> None:
    class Odd:
        def summarise(self, asked: ToSummarise) -> Any:
            return stranger()

    async with telling(safe, services={SUMMARISER: Odd()}, summary_timeout=0.1) as kernel:
        await play(kernel, 1, DUE + 1)
        text = (await summary(kernel)).text
    assert text in (BY_RULES, "They talked.") or (stranger.outcome is Outcome.HARMLESS and text == plain(text))
