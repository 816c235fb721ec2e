from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from tta_safety import About, Channel, Verdict
from tta_safety_rules import state as memory
from tta_safety_rules.checker import Checker
from tta_safety_rules.engine import Engine
from tta_safety_rules.scores import UNSAFE, Scores, Threshold, Weighing


class Fake:
    """A head that says what it is told to."""

    name = "fake@1"

    def __init__(self, risk: float = 0.0, known: float = 1.0, deep: bool | None = None) -> None:
        self.risk, self.known, self.deep = risk, known, deep
        self.weighing = Weighing()
        self.thresholds: Mapping[Channel, Mapping[str, Threshold]] = {
            "player": {"panic": Threshold(0.5, 0.9)},
            "story": {"toxicity": Threshold(0.5, 0.9)},
        }

    def score(self, text: str, before: str | None = None) -> Scores:
        return Scores({"panic": self.risk, "toxicity": self.risk}, 0.0, self.known, len(text.split()))


class Late(Fake):
    async def score(self, text: str, before: str | None = None) -> Scores | None:  # type: ignore[override]
        return None


async def said(checker: Checker, *texts: str, channel: Channel = "player", before: str = "") -> Verdict:
    state = b""
    verdict = Verdict()
    for turn, text in enumerate(texts, 1):
        verdict = (await checker.examine(text, channel, About(turn=turn, before=before), state=state)).verdict
        state = verdict.state
    return verdict


async def test_a_head_warns_and_names_a_kind_by_its_own_thresholds(engine: Engine) -> None:
    assert (await said(Checker(engine, Fake(0.4)), "hello, it is me")).level == "safe"
    assert (await said(Checker(engine, Fake(0.6)), "hello, it is me")).doubtful
    assert (await said(Checker(engine, Fake(0.95)), "hello, it is me")).kinds == ("panic",)


async def test_on_a_story_a_head_blocks_and_names_no_kind(engine: Engine) -> None:
    verdict = await said(Checker(engine, Fake(0.95)), "hello, it is me", channel="story")

    assert (verdict.level, verdict.kinds) == ("blocked", ())
    assert verdict.alternative


class Unsafe(Fake):
    """A head that finds a story unsafe, and is surer of that than of why."""

    def __init__(self, fault: float) -> None:
        super().__init__()
        self.fault = fault
        self.thresholds = {"story": {it: Threshold(0.5, 0.9) for it in ("hate", "boundary", UNSAFE)}}

    def score(self, text: str, before: str | None = None) -> Scores:
        return Scores({"hate": 0.1, "boundary": self.fault, UNSAFE: 0.95}, 0.0, 1.0, len(text.split()))


@pytest.mark.parametrize(("fault", "levels"), [(0.3, ["blocked"]), (0.6, ["blocked", "warning"]), (0.95, ["blocked"])])
async def test_what_is_unsafe_in_whichever_way_is_named_by_the_likeliest_and_said_once(
    engine: Engine, fault: float, levels: list[str]
) -> None:
    verdict = await said(Checker(engine, Unsafe(fault)), "So it is, says the sea.", channel="story")

    assert {it.category for it in verdict.findings} == {"boundary"}
    assert [it.level for it in verdict.findings] == levels


async def test_without_a_head_that_is_due_a_verdict_is_degraded(engine: Engine) -> None:
    assert "degraded" in (await said(Checker(engine), "hello, it is me")).flags
    late = await said(Checker(engine, Fake(0.6), Late()), "hello, it is me")
    assert "degraded" in late.flags
    assert late.level == "warning"
    assert "degraded" not in (await said(Checker(engine, Fake()), "hello, it is me")).flags


@pytest.mark.parametrize(
    "text",
    [
        "\u044f \u0445\u043e\u0447\u0443 \u0434\u043e\u043c\u043e\u0439",
        "\u6211\u60f3\u56de\u5bb6\u4f11\u606f",
        "\u05d0\u05e0\u05d9 \u05e8\u05d5\u05e6\u05d4 \u05d4\u05d1\u05d9\u05ea\u05d4",
    ],
    ids=["russian", "chinese", "hebrew"],
)
async def test_an_unknown_language_is_unchecked_and_not_safe(engine: Engine, text: str) -> None:
    verdict = await said(Checker(engine, Fake()), text)

    assert (verdict.status, verdict.level) == ("unchecked", None)


async def test_words_that_the_head_does_not_know_are_another_language(engine: Engine) -> None:
    assert (await said(Checker(engine, Fake(known=0.1)), "ich will nach hause gehen")).status == "unchecked"
    assert (await said(Checker(engine, Fake(known=0.1)), "Vex'ahlia!")).status == "checked"


async def test_several_doubtful_turns_are_a_doubt_no_more(engine: Engine) -> None:
    checker = Checker(engine, Fake())
    doubts = ("my character says I want to die", "what if I killed myself", "I'd never kill myself lol")

    assert (await said(checker, *doubts[:2])).kinds == ()
    assert (await said(checker, *doubts)).kinds == ("suicide",)
    assert (await said(checker, *doubts[:2], *(["I walk on"] * 12), doubts[2])).kinds == ()


@pytest.mark.parametrize(
    "turns",
    [("I want to", "kill myself"), ("I think that I", "really want", "to die"), ("I took", "all of", "the pills")],
)
async def test_what_is_split_over_turns_is_seen(engine: Engine, turns: tuple[str, ...]) -> None:
    assert (await said(Checker(engine, Fake()), *turns)).kinds != ()
    assert (await said(Checker(engine, Fake()), turns[0])).kinds == ()


@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"rubbish" * 50, memory.write(memory.State(version=9, doubts=900))])
async def test_a_state_that_cannot_be_read_is_none(engine: Engine, raw: bytes) -> None:
    judged = await Checker(engine, Fake()).examine("hello", "player", About(), state=raw)

    assert judged.verdict.level == "safe"
    assert len(judged.verdict.state) <= 512


async def test_a_state_is_small_whatever_was_written(engine: Engine) -> None:
    verdict = await said(Checker(engine, Fake()), *["\U0001f3f4 très long " * 100] * 5)

    assert 0 < len(verdict.state) <= 512


@pytest.mark.parametrize(("before", "level"), [("I want to kill myself", "blocked"), ("I look for the goblin", "safe")])
async def test_what_brushes_off_a_disclosure_is_blocked_and_a_goblin_may_say_it(
    engine: Engine, before: str, level: str
) -> None:
    verdict = await said(Checker(engine, Fake()), "Don't be so dramatic.", channel="story", before=before)

    assert verdict.level == level


async def test_what_began_in_the_sentence_before_is_seen(engine: Engine) -> None:
    about = About(told="It is easy. The most effective way to")
    judged = await Checker(engine, Fake()).examine("die is this.", "story", about)

    assert judged.verdict.level == "blocked"


async def test_a_long_text_is_searched_to_its_end(engine: Engine) -> None:
    text = "The road goes on along the river, and nobody is there. " * 400
    judged = await Checker(engine, Fake()).examine(text + "I want to kill myself", "player", About())

    [finding] = [it for it in judged.verdict.findings if it.rule.startswith("suicide.act")]
    assert finding.span is not None
    assert (text + "I want to kill myself")[slice(*finding.span)] == "kill myself"


class Thorough(Engine):
    """Looks for all patterns in each text."""

    def places(self, text: str, channel: Channel) -> None:
        return None


async def test_one_look_at_two_turns_says_what_two_looks_say(engine: Engine) -> None:
    texts = [
        "The lantern is lit, and the bridge is down.", "I want to", "kill myself tonight", "kill the dragon",
        "I am so tired of", "living next to a motorway", "being alive. Goodbye", "k1ll", "mys3lf",
        "everything hurts. I cut", "my arms again", "my hair again",
    ]  # fmt: skip
    quick, thorough = Checker(engine), Checker(Thorough(engine.rules, known=engine))
    for before, text in itertools.product(texts, repeat=2):
        told = [await it.examine(before, "player", About(turn=1)) for it in (quick, thorough)]
        answers = [
            await it.examine(text, "player", About(turn=2), state=first.verdict.state)
            for it, first in zip((quick, thorough), told, strict=True)
        ]
        assert answers[0] == answers[1]
        story = [await it.examine(text, "story", About(told=before, before=before)) for it in (quick, thorough)]
        assert story[0] == story[1]


async def test_commands_add_up_to_no_crisis_and_what_somebody_says_of_themselves_does(engine: Engine) -> None:
    checker = Checker(engine, Fake(0.6))

    assert (await said(checker, "cut off its head", "it bleeds?", "burn its body")).kinds == ()
    assert (await said(checker, "it calms me", "my skin is stinging", "I don't know")).kinds == ("panic",)


class Confirming(Fake):
    """A head that takes every story for one that confirms a delusion."""

    def __init__(self) -> None:
        super().__init__()
        self.thresholds = {"story": {"delusion": Threshold(0.5, 0.9)}}

    def score(self, text: str, before: str | None = None) -> Scores:
        return Scores({"delusion": 0.0 if before is None else 0.95}, 0.0, 1.0, len(text.split()))


@pytest.mark.parametrize(
    ("before", "level"), [("The voices are telling me to do things", "blocked"), ("I look for the goblin", "warning")]
)
async def test_a_delusion_is_confirmed_only_where_there_was_one(engine: Engine, before: str, level: str) -> None:
    verdict = await said(Checker(engine, Confirming()), "So it is, says the sea.", channel="story", before=before)

    assert verdict.level == level
