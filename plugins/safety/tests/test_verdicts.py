from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_safety import (
    CATEGORIES,
    KINDS,
    STATE,
    About,
    Channel,
    Finding,
    SafetyPlugin,
    Verdict,
    category,
    check_text,
    each,
    judge,
    known_kinds,
    merge,
)

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


def finding(level: str = "warning", **fields: Any) -> Finding:
    given = {"rule": "r@1", "category": "suicide", "level": level} | fields
    return msgspec.convert(given, Finding)


def test_merging_concatenates_what_was_found_and_keeps_the_worst_where_that_is_too_much() -> None:
    many = Verdict("checked", "warning", findings=tuple(finding(rule=f"r{n}@1") for n in range(200)))
    worst = Verdict("checked", "blocked", findings=(finding("blocked", rule="worst@1", severity=5),))
    assert merge([worst, worst]).rules == ("worst@1",)
    merged = merge([many, worst])
    assert len(merged.findings) == 200
    assert merged.findings[0].rule == "worst@1"


def test_merging_takes_the_sadder_sentiment_the_less_appropriate_and_the_alternative_of_whoever_objects_most() -> None:
    mild = Verdict("checked", "warning", sentiment=0.5, appropriateness=0.9, alternative="mild", flags=("a",))
    bad = Verdict("checked", "blocked", sentiment=-0.5, appropriateness=0.1, alternative="bad", flags=("b", "a"))
    merged = merge([mild, bad, Verdict("checked", "safe", state=b"mine")])
    assert (merged.sentiment, merged.appropriateness, merged.alternative) == (-0.5, 0.1, "bad")
    assert merged.flags == ("a", "b")
    assert merged.state == b""


def test_a_doubt_is_a_warning_of_a_kind_of_crisis_that_nobody_affirms() -> None:
    assert Verdict("checked", "warning", findings=(finding(),)).doubtful
    assert not Verdict("checked", "blocked", kinds=("suicide",), findings=(finding("blocked"),)).doubtful
    assert not Verdict("checked", "warning", findings=(finding(category="boundary"),)).doubtful
    assert not Verdict("checked", "safe", findings=(finding("safe"),)).doubtful


@pytest.mark.parametrize("channel", ["story", "tool"])
def test_a_crisis_in_a_text_that_no_person_wrote_blocks_it_and_is_nobodys(channel: Channel) -> None:
    answer = Verdict("checked", "warning", kinds=("suicide",), state=b"x")
    assert judge({"a": answer}, channel) == Verdict("checked", "blocked", by=("a",))
    assert judge({"a": answer}, "player").kinds == ("suicide",)


@pytest.mark.parametrize(
    "fields",
    [
        {"state": b"x" * (STATE + 1)}, {"flags": ("x" * 101,)}, {"sentiment": 2.0}, {"appropriateness": -1.0},
        {"findings": (finding(),) * 201}, {"findings": ("x",)}, {"alternative": "x" * 4001},
    ],
)  # fmt: skip
def test_a_verdict_that_is_too_large_or_holds_nonsense_has_failed(fields: dict[str, Any]) -> None:
    assert each({"bad": Verdict("checked", "safe", **fields)}) == {"bad": Verdict("failed", by=("bad",))}


def test_names_of_categories_are_read_as_others_write_them() -> None:
    assert [category(name) for name in CATEGORIES] == list(CATEGORIES)
    assert category("Suicidal Ideation") == "suicide"
    assert category("ED") == "eating_disorder"
    with pytest.raises(ValueError, match="there is no category 'sadness'; choose one of suicide, self_harm"):
        category("sadness")


def test_a_kind_that_nobody_knows_is_taken_most_seriously() -> None:
    assert known_kinds(["panic", "unheard-of", "suicide"]) == ("panic", "suicide")
    assert known_kinds(KINDS) == KINDS
