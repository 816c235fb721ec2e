from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_safety import About, Channel, SafetyPlugin, Verdict, check_text, judge, merge

SAFE = Verdict("checked", "safe")
WARNING = Verdict("checked", "warning")
BLOCKED = Verdict("checked", "blocked")
UNCHECKED = Verdict()
FAILED = Verdict("failed")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], UNCHECKED),
        ([SAFE], SAFE),
        ([SAFE, WARNING], WARNING),
        ([WARNING, BLOCKED, SAFE], BLOCKED),
        ([SAFE, UNCHECKED], UNCHECKED),
        ([BLOCKED, UNCHECKED], UNCHECKED),
        ([UNCHECKED, FAILED], FAILED),
        ([BLOCKED, FAILED, SAFE], FAILED),
    ],
)
def test_failed_goes_before_unchecked_and_that_before_the_highest_level(
    given: list[Verdict], expected: Verdict
) -> None:
    assert merge(given) == expected
    assert merge(reversed(given)) == expected


def test_merging_keeps_every_kind_the_highest_risk_and_who_looked() -> None:
    one = Verdict("checked", "safe", 0.2, ("harm",), ("one",))
    two = Verdict("checked", "warning", 0.7, ("grief", "harm"), ("two",))
    assert merge([one, two]) == Verdict("checked", "warning", 0.7, ("grief", "harm"), ("one", "two"))


def test_a_crisis_objects_even_if_a_check_failed_beside_it() -> None:
    assert merge([Verdict("checked", "safe", kinds=("harm",)), FAILED]).objects
    assert BLOCKED.objects
    assert not WARNING.objects


@pytest.mark.parametrize(("status", "level"), [("checked", None), ("unchecked", "safe"), ("failed", "safe")])
def test_a_verdict_has_a_level_exactly_if_it_is_checked(status: Any, level: Any) -> None:
    with pytest.raises(ValueError, match="exactly if it is checked"):
        Verdict(status, level)


def test_nobody_asked_means_unchecked() -> None:
    assert judge({}) == UNCHECKED


@pytest.mark.parametrize("answer", [ValueError("x"), None, True, "safe", {"status": "checked", "level": "safe"}])
def test_an_answer_that_is_no_verdict_has_failed(answer: Any) -> None:
    assert judge({"bad": answer, "good": SAFE}) == Verdict("failed", by=("bad", "good"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("risk", 7.0), ("risk", "high"), ("level", "fine"), ("level", None), ("status", "ok"), ("kinds", 5)],
)
def test_a_verdict_that_holds_nonsense_has_failed(field: str, value: Any) -> None:
    broken = Verdict("checked", "safe")
    msgspec.structs.force_setattr(broken, field, value)
    assert judge({"bad": broken}) == Verdict("failed", by=("bad",))


def test_a_verdict_is_signed_with_the_plugin_that_gave_it() -> None:
    assert judge({"rules": Verdict("checked", "safe", by=("somebody else",))}).by == ("rules",)


async def test_a_plugin_that_checks_is_asked_through_the_kernel() -> None:
    class Rules(Plugin[NoConfig]):
        @hookimpl
        async def check_text(self, text: str, channel: Channel) -> Verdict:
            return Verdict("checked", "blocked" if "bad" in text and channel == "player" else "safe")

    class Crashes(Plugin[NoConfig]):
        @hookimpl
        async def check_text(self, text: str) -> Verdict:
            await anyio.lowlevel.checkpoint()
            raise RuntimeError

    async with Kernel(plugins={"safety": SafetyPlugin, "rules": Rules}) as kernel:
        assert judge(await kernel.ask(check_text, "a bad word", "player", "s", About())).objects
        assert judge(await kernel.ask(check_text, "a bad word", "story", "s", About())).level == "safe"
    async with Kernel(plugins={"safety": SafetyPlugin, "rules": Rules, "crashes": Crashes}) as kernel:
        assert judge(await kernel.ask(check_text, "hello", "player", "s", About())).status == "failed"
