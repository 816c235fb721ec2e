"""A turn, from the player's text to the checked answer, over a real kernel with small agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, cast

import anyio
import msgspec
import pytest

from tta_agents import AgentCalled, StepContext
from tta_kernel import ConfigError, Context, Kernel, KernelSettings, NoConfig, Plugin, Service
from tta_kernel.testing import logged, published, running
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers
from tta_orchestration import (
    ORCHESTRATION,
    Failure,
    InputError,
    NotRunning,
    Orchestration,
    OrchestrationPlugin,
    OrchestrationResponse,
    StoreFailed,
    TurnPlayed,
)  # fmt: skip
from tta_orchestration.sentences import LONGEST
from tta_orchestration.testing import STORY, TURN, Check, Scene, Teller, Told, telling
from tta_program import LayeredSettings
from tta_safety import TOLD, About, Channel, CheckFailed, Finding, SafetyPlugin, Verdict
from tta_sessions import SESSIONS, Page, Profile, SessionCommitted, SessionsMemory, SessionsPlugin
from tta_sessions.flags import set_flags
from tta_sessions.profile import set_profile
from tta_workflows import WORKFLOWS, Run, RunFinished, RunStarted, StepFinished, Streamed, Workflows

SAFE = Verdict("checked", "safe")
BLOCKED = Verdict("checked", "blocked", 0.9)
CRISIS = Verdict("checked", "warning", 0.8, ("suicidal_ideation",))


class Raising(Teller):
    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        raise ValueError(request.text)


class Cancelled(Teller):
    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        raise asyncio.CancelledError(request.text)  # noqa: TID251 - as a library's own time-out may


class Exiting(Teller):
    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        raise SystemExit(request.text)


class Hanging(Teller):
    spec = msgspec.structs.replace(Teller.spec, timeout=0.1)

    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        await anyio.sleep_forever()


class Nonsensical(Teller):
    async def process(self, request: Scene, ctx: StepContext, /) -> Any:
        return {"text": 7}


def kernel(
    *checks: Check,
    teller: type[Teller] = Teller,
    turn: Mapping[str, Any] = TURN,
    services: Mapping[Service[Any], object] | None = None,
    settings: KernelSettings | None = None,
    **config: Any,
) -> Kernel:
    config = {"max_text": 100, **config}
    return telling(*checks, teller=teller, turn=turn, services=services, settings=settings, **config)


async def context(k: Kernel) -> Mapping[str, Any]:
    session = await k.get(SESSIONS).get("s")
    assert session is not None
    return session.context


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return SAFE


async def test_a_checked_turn_tells_the_story_and_commits_the_world_once() -> None:
    async with kernel(safe) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", seed=7)
        assert (response.text, response.outcome, response.turn) == ("You said hello. The sea answers.", "story", 1)
        checked = ("checked", "safe", ("checker-0",))
        judged = {step: (verdict.status, verdict.level, verdict.by) for step, verdict in response.verdicts.items()}
        assert judged == dict.fromkeys(("player", "story", "world"), checked)
        assert [step.agent for step in response.steps] == ["teller"]
        again = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        assert again.turn == 2
        assert (await context(k))["world"] == {"turns": 2}
        assert (await context(k))["seed"] == 7


@pytest.mark.parametrize(
    ("session", "user", "seed", "why"),
    [
        ("\udcff", "", None, "name can't be stored"),
        ("s", "\udcff", None, "name can't be stored"),
        ("s", "", 2**63, "64 bits"),
        ("s", "", -(2**63) - 1, "64 bits"),
    ],
)
async def test_what_no_store_could_keep_is_the_player_s_to_change_and_no_store_has_failed(
    session: str, user: str, seed: int | None, why: str
) -> None:
    async with kernel(safe) as k:
        with published(k, StoreFailed) as failures, pytest.raises(InputError, match=why):
            await k.get(ORCHESTRATION).process_user_input("hello", session, user=user, seed=seed)
        assert await failures.rest() == []


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63)])
async def test_a_seed_may_have_64_bits(seed: int) -> None:
    async with kernel(safe) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s", seed=seed)
        assert (response.kept, response.updated_context["seed"]) == (True, seed)


async def test_pieces_are_released_sentence_by_sentence_and_each_was_checked() -> None:
    seen: list[str] = []

    def judge(text: str, channel: Channel, about: About) -> Verdict:
        seen.append(f"{channel}: {text}")
        return SAFE

    async with kernel(judge) as k, k.get(ORCHESTRATION).stream_user_input("hi", "s") as stream:
        pieces = [piece async for piece in stream]
    assert pieces == ["You said hi. ", "The sea answers."]
    assert seen == ["player: hi", "story: You said hi. ", "story: The sea answers.", "tool: turns"]
    assert stream.response.text == "".join(pieces)


async def test_what_the_player_wrote_is_annotated_and_never_blocked() -> None:
    async with kernel(lambda text, channel, about: BLOCKED if channel == "player" else SAFE) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        assert (response.outcome, response.verdicts["player"].level) == ("story", "blocked")
        assert (await context(k))["history"][0]["verdicts"]["player"]["level"] == "blocked"


async def test_a_crisis_in_the_players_text_makes_the_answer_supportive_and_annotates_it() -> None:
    async with kernel(lambda text, channel, about: CRISIS if channel == "player" else SAFE) as k:
        response = await k.get(ORCHESTRATION).process_user_input("I want to go", "s")
        assert response.outcome == "supportive"
        assert "988" in response.text
        assert response.steps == ()
        entry = (await context(k))["history"][0]
        assert entry["said"] == "I want to go"
        assert entry["verdicts"]["player"]["level"] == CRISIS.level
        assert "world" not in await context(k)


async def test_the_story_pauses_for_a_conversation_until_the_person_asks_for_it() -> None:
    async with kernel(lambda text, channel, about: CRISIS if "pills" in text else SAFE) as k:
        play = partial(k.get(ORCHESTRATION).process_user_input, session="s")
        answers = [await play(text) for text in ("hello", "I took the pills", "look", "hm", "continue", "look")]
        outcomes = [answer.outcome for answer in answers]
        assert outcomes == ["story", "supportive", "supportive", "supportive", "checked-in", "story"]
        assert all(answer.text and answer.kept for answer in answers)
        flags = (await context(k))["flags"]
        assert (flags["paused"], flags["went_on"]) == (False, 5)


async def test_a_human_pauses_a_story_and_lets_it_go_on() -> None:
    async with kernel(safe) as k:
        sessions = k.get(SESSIONS)
        await k.get(ORCHESTRATION).process_user_input("hello", "s")
        await set_flags(sessions, "s", "", paused=True)
        assert (await k.get(ORCHESTRATION).process_user_input("hello", "s")).outcome == "supportive"
        await set_flags(sessions, "s", "", paused=False)
        assert (await k.get(ORCHESTRATION).process_user_input("hello", "s")).outcome == "story"


async def test_whoever_asks_for_a_person_gets_lines_and_the_story_does_not_pause() -> None:
    async with kernel(safe) as k:
        play = partial(k.get(ORCHESTRATION).process_user_input, session="s")
        asked = await play("is there a real person I can call?")
        assert (asked.outcome, "988" in asked.text) == ("supportive", True)
        assert (await play("look")).outcome == "story"


DOUBT = Verdict("checked", "warning", 0.4, findings=(Finding(rule="r@1", category="suicide", level="warning"),))


async def test_whoever_says_yes_to_a_check_in_has_disclosed_a_crisis_and_whoever_says_it_later_has_not() -> None:
    def judge(text: str, channel: Channel, about: About) -> Verdict:
        return DOUBT if channel == "player" and "tired" in text else SAFE

    async with kernel(judge) as k:
        play = partial(k.get(ORCHESTRATION).process_user_input, session="s")
        answers = [await play(text) for text in ("so tired", "yes", "continue")]
        assert [answer.outcome for answer in answers] == ["checked-in", "supportive", "checked-in"]
        assert answers[1].verdicts["player"].kinds == ("suicide",)
        later = partial(k.get(ORCHESTRATION).process_user_input, session="later")
        answers = [await later(text) for text in ("so tired", "no", "yes")]
        assert [answer.outcome for answer in answers] == ["checked-in", "story", "story"]


async def test_what_is_doubtful_lets_the_story_be_told_after_a_question_once_in_some_turns() -> None:
    async with kernel(lambda text, channel, about: DOUBT if channel == "player" else SAFE, check_in_every=3) as k:
        play = partial(k.get(ORCHESTRATION).process_user_input, session="s")
        answers = [await play("hello") for _ in range(5)]
        assert [answer.outcome for answer in answers] == ["checked-in", "story", "story", "checked-in", "story"]
        assert answers[0].text.endswith("\n\nYou said hello. The sea answers.")
        page = (await context(k))["history"][0]
        assert (page["told"], page["outcome"]) == (answers[0].text, "checked-in")
        assert page["verdicts"]["player"] == {
            "status": "checked",
            "level": "warning",
            "risk": 0.4,
            "kinds": [],
            "rules": ["r@1"],
        }


async def test_a_question_is_read_before_the_story() -> None:
    async with (
        kernel(lambda text, channel, about: DOUBT if channel == "player" else SAFE) as k,
        k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream,
    ):
        pieces = [piece async for piece in stream]
    assert len(pieces) == 3
    assert "".join(pieces) == stream.response.text


async def test_each_check_gets_its_state_back_in_the_next_turn_that_was_kept() -> None:
    seen: list[Mapping[str, bytes]] = []

    def counting(text: str, channel: Channel, about: About) -> Verdict:
        if channel == "player":
            seen.append(about.state)
        return Verdict("checked", "safe", state=b"%d" % about.turn)

    async with kernel(counting, safe) as k:
        for _ in range(3):
            await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert seen == [{}, {"checker-0": b"1"}, {"checker-0": b"2"}]


async def test_where_a_check_fails_the_person_hears_of_lines_of_their_country_in_their_language() -> None:
    async with kernel(lambda text, channel, about: Verdict("failed")) as k:
        unknown = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        await set_flags(k.get(SESSIONS), "s", "", locale="de-AT", country="AT")
        known = await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert (unknown.outcome, known.outcome) == ("fallback", "fallback")
    assert "support you" in unknown.text
    assert "findahelpline.com" in unknown.text
    assert "988" in unknown.text
    assert "Telefonseelsorge (Telefon 142" in known.text


async def test_a_check_hears_which_language_and_country_it_is() -> None:
    seen: set[tuple[Channel, str, str]] = set()

    def check(text: str, channel: Channel, about: About) -> Verdict:
        seen.add((channel, about.locale, about.country))
        return SAFE

    async with kernel(check) as k:
        await set_flags(k.get(SESSIONS), "s", "", locale="de-AT", country="AT")
        await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert seen == {(channel, "de-AT", "AT") for channel in ("player", "story", "tool")}


async def test_what_a_turn_changes_in_the_world_is_checked_and_else_the_world_stays_as_it_was() -> None:
    class Naming(Teller):
        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            told = "".join(self.pieces(request))
            await ctx.emit(told)
            return Told(told, {"turns": request.turn, f"{request.text} name": 1})

    async with kernel(lambda text, channel, about: BLOCKED if "evil name" in text else SAFE, teller=Naming) as k:
        good = await k.get(ORCHESTRATION).process_user_input("good", "s")
        bad = await k.get(ORCHESTRATION).process_user_input("evil", "s")
        assert (good.verdicts["world"].level, bad.verdicts["world"].level) == ("safe", "blocked")
        assert (bad.outcome, bad.verdict.level) == ("story", "blocked")
        assert (await context(k))["world"] == {"turns": 1, "good name": 1}


async def test_an_objection_to_generated_text_replaces_it_and_the_world_stays() -> None:
    def judge(text: str, channel: Channel, about: About) -> Verdict:
        return BLOCKED if channel == "story" else SAFE

    async with kernel(judge) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        assert response.outcome == "supportive"
        assert "sea" not in response.text
        assert "support" in response.text
        assert "world" not in await context(k)


async def test_an_objection_to_the_second_sentence_keeps_it_from_the_player() -> None:
    def judge(text: str, channel: Channel, about: About) -> Verdict:
        return BLOCKED if "sea" in text else SAFE

    async with kernel(judge) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        assert response.text.startswith("You said hello. \n\n")
        assert "The sea" not in response.text


class Long(Teller):
    """Tells as many sentences as the player asks for, in pieces that end anywhere."""

    def pieces(self, scene: Scene) -> Sequence[str]:
        text = "".join(f"This is sentence {number}. " for number in range(int(scene.text))).strip()
        return [text[at : at + 7] for at in range(0, len(text), 7)]


async def test_an_objection_to_the_third_sentence_ends_the_story_after_the_second() -> None:
    asked: list[str] = []

    def check(text: str, channel: Channel, about: About) -> Verdict:
        asked.append(text)
        return BLOCKED if "sentence 2" in text else SAFE

    async with kernel(check, teller=Long) as k, k.get(ORCHESTRATION).stream_user_input("5", "s") as stream:
        pieces = [piece async for piece in stream]
    assert pieces[:2] == ["This is sentence 0. ", "This is sentence 1. "]
    assert pieces[2].startswith("\n\nThe story goes quiet here")
    assert len(pieces) == 3
    assert (stream.response.outcome, stream.response.verdicts["story"].level) == ("supportive", "blocked")
    assert asked[1:] == ["This is sentence 0. ", "This is sentence 1. ", "This is sentence 2. "]


async def test_a_check_sees_who_plays_what_was_written_and_what_was_told_before() -> None:
    seen: list[tuple[str, About]] = []

    def check(text: str, channel: Channel, about: About) -> Verdict:
        if channel != "tool":
            seen.append((channel, about))
        return SAFE

    async with kernel(check) as k:
        for text in ("hi", "ho"):
            await k.get(ORCHESTRATION).process_user_input(text, "s", user="anna")
    assert seen[3:] == [
        ("player", About(user="anna", turn=2)),
        ("story", About(user="anna", turn=2, before="ho")),
        ("story", About(user="anna", turn=2, before="ho", told="You said ho. ")),
    ]


async def test_what_begins_in_one_sentence_and_ends_in_the_next_is_seen_by_a_check_that_reads_what_was_told() -> None:
    def check(text: str, channel: Channel, about: About) -> Verdict:
        return BLOCKED if "hello. The sea" in about.told + text else SAFE

    async with kernel(check) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert response.text.startswith("You said hello. \n\n")
    assert "The sea" not in response.text


async def cost(sentences: int) -> tuple[int, int, int]:
    """Play a story; return how often a check of it was asked, of how many characters, with how many told before."""
    calls = characters = told = 0

    def check(text: str, channel: Channel, about: About) -> Verdict:
        nonlocal calls, characters, told
        if channel == "story":
            calls, characters, told = calls + 1, characters + len(text), told + len(about.told)
        return SAFE

    async with kernel(check, teller=Long) as k:
        response = await k.get(ORCHESTRATION).process_user_input(str(sentences), "s")
    assert characters == len(response.text)
    return calls, characters, told


async def test_checking_a_story_costs_its_length_and_not_its_square() -> None:
    calls, characters, told = await cost(400)
    assert calls == 400
    assert told <= calls * TOLD
    more = await cost(800)
    assert more[0] == 2 * calls
    assert more[1] < 2.1 * characters
    # What was told reaches its bound once, and no more is handed on from there.
    assert more[2] - told <= calls * TOLD


async def test_what_was_told_begins_with_a_word() -> None:
    seen: list[str] = []

    def check(text: str, channel: Channel, about: About) -> Verdict:
        if channel != "tool":
            seen.append(about.told)
        return SAFE

    async with kernel(check, teller=Long) as k:
        response = await k.get(ORCHESTRATION).process_user_input("100", "s")
    words = response.text.split()
    assert all(told.split()[:1] in ([], *([word] for word in words)) for told in seen)
    assert TOLD - 20 < len(seen[-1]) <= TOLD


async def test_a_story_without_an_end_of_a_sentence_is_released_all_the_same() -> None:
    class Endless(Teller):
        def pieces(self, scene: Scene) -> Sequence[str]:
            return ["and then "] * 1000

    async with kernel(safe, teller=Endless) as k, k.get(ORCHESTRATION).stream_user_input("go", "s") as stream:
        pieces = [piece async for piece in stream]
    assert len(pieces) > 4
    assert all(len(piece) <= LONGEST and piece.startswith("and ") for piece in pieces[1:])
    assert stream.response.text == "and then " * 1000


async def raising(text: str, channel: Channel, about: About) -> Verdict:
    raise RuntimeError(text)


async def late(text: str, channel: Channel, about: About) -> Verdict:
    await anyio.sleep_forever()
    return SAFE


@pytest.mark.parametrize(
    "broken",
    [raising, late, lambda text, channel, about: None, lambda text, channel, about: "safe"],
    ids=["raises", "late", "none", "nonsense"],
)
async def test_a_broken_check_means_the_fallback_and_an_event_for_a_human(broken: Check) -> None:
    async with kernel(safe, broken) as k:
        with published(k, CheckFailed) as failures:
            response = await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
            failure = await failures.next()
        assert response.outcome == "fallback"
        assert response.verdicts["player"].status == "failed"
        assert "The sea" not in response.text
        assert (failure.session, failure.owner, failure.plugins) == ("s", "anna", ("checker-1",))


@pytest.mark.parametrize(
    ("checks", "failure"),
    [
        ([safe], None),
        ([], None),
        ([lambda text, channel, about: Verdict()], Failure("safety", "unchecked")),
        ([lambda text, channel, about: Verdict("failed")], Failure("safety", "failed")),
    ],
)
async def test_whoever_asks_for_a_person_is_told_whom_to_call_whatever_the_checks_do(
    checks: Sequence[Check], failure: Failure | None
) -> None:
    async with kernel(*checks, allow_unchecked=not checks) as k:
        response = await k.get(ORCHESTRATION).process_user_input("can I talk to a real person?", "s")
        assert (response.outcome, response.failure) == ("supportive", failure)
        assert "findahelpline.com" in response.text
        assert "The sea" not in response.text


async def test_a_turn_whose_agents_have_heard_that_is_supportive_and_changes_nothing() -> None:
    class Heard(Told, frozen=True):
        route: str

    class Hearing(Teller):
        spec = msgspec.structs.replace(Teller.spec, output=Heard)

        async def process(self, request: Scene, ctx: StepContext, /) -> Any:
            told = await super().process(request, ctx)
            return Heard(told.text, told.world, "reach-out")

    output = {"text": "steps.story.text", "world": "steps.story.world", "route": "steps.story.route"}
    turn = {**TURN, "output": output}
    async with kernel(safe, teller=Hearing, turn=turn) as k:
        response = await k.get(ORCHESTRATION).process_user_input("quelqu'un", "s")
        assert (response.outcome, response.kept) == ("supportive", True)
        assert "world" not in await context(k)


async def test_an_objection_is_heard_even_where_another_check_could_not_look() -> None:
    async with kernel(
        lambda text, channel, about: SAFE if channel == "player" else BLOCKED,
        lambda text, channel, about: Verdict(),
        allow_unchecked=True,
    ) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        assert response.outcome == "supportive"
        assert response.verdicts["story"].status == "unchecked"


async def test_with_nobody_to_ask_the_kernel_does_not_start_and_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no enabled plugin checks text.*enable one that implements"):
        async with kernel():
            pass


async def test_with_nobody_to_ask_the_turn_is_played_unchecked_where_config_says_so() -> None:
    async with kernel(allow_unchecked=True) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        assert (response.outcome, response.verdicts["story"].status) == ("story", "unchecked")
        assert response.verdicts["story"].level is None


@pytest.mark.parametrize(
    ("teller", "code"), [
        (Raising, "failed"), (Cancelled, "failed"), (Exiting, "failed"), (Hanging, "timeout"),
        (Nonsensical, "bad_output"),
    ],
)  # fmt: skip
async def test_an_agent_that_gives_no_answer_costs_the_player_nothing(
    teller: type[Teller], code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with kernel(safe, teller=teller) as k:
        response = await k.get(ORCHESTRATION).process_user_input("my secret words", "s")
        assert (response.outcome, response.workflow["error"]) == ("failed", code)
        assert "Nothing you did is lost" in response.text
        assert "world" not in await context(k)
        assert "my secret words" not in caplog.text


@pytest.mark.parametrize("text", ["", "   \n", "\x00\x07"])
async def test_a_text_without_anything_to_read_is_refused_with_the_way_out(text: str) -> None:
    async with kernel(safe) as k:
        with pytest.raises(InputError, match="nothing to read"):
            await k.get(ORCHESTRATION).process_user_input(text, "s")


async def test_a_long_text_is_checked_whole_and_read_in_part() -> None:
    checked: list[int] = []

    def judge(text: str, channel: Channel, about: About) -> Verdict:
        checked.append(len(text))
        return SAFE

    async with kernel(judge) as k:
        response = await k.get(ORCHESTRATION).process_user_input("a" * 100_000, "s")
        assert checked[0] == 100_000
        assert response.notices == ("that was long: the story reads the first 100 characters of 100,000",)
        assert f"You said {'a' * 100}." in response.text


async def test_control_characters_go_and_emoji_stay() -> None:
    async with kernel(safe) as k:
        response = await k.get(ORCHESTRATION).process_user_input("a\x1b[31mb\u202e 😀\ud800", "s")
        assert response.text.startswith("You said a[31mb 😀.")


async def test_two_turns_of_one_session_at_once_are_played_one_after_the_other() -> None:
    async with kernel(safe) as k:
        orchestration: Orchestration = k.get(ORCHESTRATION)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(orchestration.process_user_input, "hello", "s")
        assert (await context(k))["turn"] == 5


async def test_somebody_elses_session_stays_closed() -> None:
    async with kernel(safe) as k:
        await k.get(ORCHESTRATION).process_user_input("hello", "s", user="a")
        with pytest.raises(InputError, match="somebody else"):
            await k.get(ORCHESTRATION).process_user_input("hello", "s", user="b")


async def test_a_reader_that_leaves_early_undoes_no_turn() -> None:
    async with kernel(safe) as k:
        async with k.get(ORCHESTRATION).stream_user_input("hello", "s") as stream:
            async for _ in stream:
                break
        assert (await k.get(ORCHESTRATION).process_user_input("hello", "s")).turn == 2


async def test_forgetting_a_person_reaches_their_sessions() -> None:
    async with kernel(safe) as k:
        await k.get(ORCHESTRATION).process_user_input("hello", "s", user="a")
        assert (await k.get(ORCHESTRATION).forget("a"))["sessions-memory"] == 1
        assert await k.get(SESSIONS).get("s") is None


async def test_a_turn_is_announced() -> None:
    async with kernel(safe) as k:
        with published(k, TurnPlayed) as turns:
            await k.get(ORCHESTRATION).process_user_input("hello", "s")
            [event] = await turns.rest()
        assert (event.session, event.turn, event.outcome, event.source) == ("s", 1, "story", "orchestration")
        assert event.correlation_id


async def test_each_event_of_a_turn_says_whose_it_is() -> None:
    async with kernel(safe) as k:
        with published(k, AgentCalled, RunStarted, StepFinished, RunFinished, TurnPlayed, SessionCommitted) as events:
            await k.get(ORCHESTRATION).process_user_input("hello", "s", user="anna")
            seen: list[Any] = list(await events.rest())
    assert [type(event) for event in seen] == [
        RunStarted, AgentCalled, StepFinished, RunFinished, TurnPlayed, SessionCommitted,
    ]  # fmt: skip
    assert {(event.session, event.owner) for event in seen} == {("s", "anna")}


async def test_coordinating_agents_runs_a_workflow_for_a_program() -> None:
    async with kernel(safe) as k:
        run = await k.get(ORCHESTRATION).coordinate_agents("turn", {"text": "hi"})
        assert (run.status, run.output["world"]) == ("done", {"turns": 1})


async def test_a_failed_step_is_logged_with_its_field_and_without_what_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with kernel(safe, teller=Nonsensical) as k:
        response = await k.get(ORCHESTRATION).process_user_input("my secret words", "s")
    [line] = [each.message for each in caplog.records if each.name == "tta.orchestration"]
    assert line.startswith("workflow turn: step story (teller): bad_output: ")
    assert response.steps[0].detail in line
    assert "my secret words" not in caplog.text


async def test_a_text_other_than_its_pieces_costs_the_turn_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    after = {"id": "after", "agent": "teller", "input": {"text": "steps.story.text"}}
    turn = {"steps": [STORY, after], "output": {"text": "steps.after.text", "world": "steps.after.world"}}
    async with kernel(safe, turn=turn) as k:
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
    assert response.outcome == "failed"
    assert "doesn't begin with what was streamed: take `stream: true` away" in caplog.text


async def test_a_turn_after_the_end_is_refused() -> None:
    async with kernel(safe) as k:
        orchestration = k.get(ORCHESTRATION)
    with pytest.raises(NotRunning, match="start a new one"):
        await orchestration.process_user_input("hello", "s")
    with pytest.raises(NotRunning):
        await orchestration.coordinate_agents("turn", {"text": "hello"})


@pytest.mark.parametrize(("text", "user"), [("", "anna"), ("hello", "ben")], ids=["empty", "somebody else's"])
async def test_who_reads_a_turn_that_cannot_be_played_hears_why(text: str, user: str) -> None:
    async with kernel(safe) as k:
        orchestration = k.get(ORCHESTRATION)
        await orchestration.process_user_input("hello", "s", user="anna")

        async def read() -> str:
            async with orchestration.stream_user_input(text, "s", user=user) as stream:
                pieces = [piece async for piece in stream]
                return stream.response.text or "".join(pieces)

        with pytest.raises(InputError):
            await read()


async def test_who_opens_a_turn_that_cannot_be_played_and_reads_nothing_hears_why_too() -> None:
    async with kernel(safe) as k:
        unread = k.get(ORCHESTRATION).stream_user_input("", "s")
        with pytest.raises(InputError):
            async with unread:
                await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("kind", [asyncio.CancelledError, SystemExit])  # noqa: TID251 - what strangers let out
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_workflows_that_exit_or_are_cancelled_from_elsewhere_are_a_failed_turn(
    kind: type[BaseException], *, streamed: bool
) -> None:
    class Odd(Plugin[NoConfig]):
        provides = (WORKFLOWS,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(WORKFLOWS, cast("Workflows", self))
            yield

        async def start(self, *args: Any, **how: Any) -> Any:
            raise kind("secret")

    plugins = (OrchestrationPlugin, SafetyPlugin, SessionsPlugin, SessionsMemory, Odd)
    async with running(*plugins, config={"allow_unchecked": True}) as k:
        orchestration = k.get(ORCHESTRATION)
        if streamed:
            async with orchestration.stream_user_input("hello", "s") as stream:
                pieces = [piece async for piece in stream]
            response = stream.response
            assert "".join(pieces) == response.text
        else:
            response = await orchestration.process_user_input("hello", "s")
    assert (response.outcome, response.failure) == ("failed", Failure("workflow", "failed"))


@pytest.mark.boundary("tta_safety.check_text")
@pytest.mark.parametrize("stranger", strangers(returns=Verdict, answer=SAFE), ids=str)
async def test_whatever_a_check_does_no_text_passes_unchecked(stranger: Stranger) -> None:
    async def odd(text: str, channel: Channel, about: About) -> Any:
        return await stranger()

    async with kernel(safe, odd, settings=LayeredSettings(hook_timeouts={"check_text": LIMIT})) as k:
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await k.get(ORCHESTRATION).process_user_input("hello", "s")
            return
        response = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
            assert (response.outcome, response.failure) == ("fallback", Failure("safety", "failed"))
        # Whoever blocks may have answered all the same; what is odd has not judged the text, whatever else it has.
        # A kind of crisis that nobody knows is one all the same.
        if stranger.outcome is not Outcome.NAMED:
            assert response.outcome == "supportive" if response.verdicts["player"].kinds else "fallback"
            assert "The sea" not in response.text
        later = await k.get(ORCHESTRATION).process_user_input("hello", "s")
        assert later.turn == 2


@pytest.mark.boundary("tta_workflows.Workflows", "tta_workflows.RunHandle")
@pytest.mark.parametrize("stranger", strangers(returns=Run), ids=str)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_whatever_another_engine_of_workflows_does_a_turn_is_answered(
    stranger: Stranger, *, streamed: bool
) -> None:
    class Odd(Plugin[NoConfig]):
        provides = (WORKFLOWS,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(WORKFLOWS, cast("Workflows", self))
            yield

        async def start(self, *args: Any, **how: Any) -> Any:
            return self

        @asynccontextmanager
        async def stream(self) -> AsyncIterator[AsyncIterator[Streamed]]:
            async def nothing() -> AsyncIterator[Streamed]:
                return
                yield

            yield nothing()

        async def result(self) -> Any:
            return await stranger()

    async def response(orchestration: Orchestration) -> OrchestrationResponse:
        if not streamed:
            return await orchestration.process_user_input("hello", "s")
        async with orchestration.stream_user_input("hello", "s") as stream:
            pieces = [piece async for piece in stream]
        assert "".join(pieces) == stream.response.text
        return stream.response

    plugins = (OrchestrationPlugin, SafetyPlugin, SessionsPlugin, SessionsMemory, Odd)
    with logged():
        async with running(*plugins, config={"allow_unchecked": True, "workflow_timeout": LIMIT}) as k:
            if stranger.outcome is Outcome.STOP:
                with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                    await response(k.get(ORCHESTRATION))
                return
            answer = await response(k.get(ORCHESTRATION))
    assert answer.text
    if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
        code = "timeout" if stranger.outcome is Outcome.TIME_LIMIT else "failed"
        assert (answer.outcome, answer.failure) == ("failed", Failure("workflow", code))


class SceneAndMore(Scene, frozen=True):
    history: tuple[Page, ...] = ()
    summary: str = ""
    profile: Profile = Profile()
    tone: str = ""
    themes: tuple[str, ...] = ()
    memory: Mapping[str, Any] = {}
    due: float = 0.0


class ToldAndMore(Told, frozen=True):
    memory: Mapping[str, Any] = {}


class Background(Teller):
    """Keeps what it was given beside the text and the world."""

    spec = msgspec.structs.replace(Teller.spec, input=SceneAndMore)
    given: ClassVar[list[Any]] = []

    async def process(self, request: Any, ctx: StepContext, /) -> Any:
        self.given.append(request)
        return await super().process(request, ctx)


async def test_agents_are_told_what_was_before_and_whom_the_story_is_for() -> None:
    class Fresh(Background):
        given: ClassVar[list[Any]] = []

    names = ("history", "summary", "profile", "tone", "themes", "memory", "due")
    step = {**STORY, "input": {**STORY["input"], **{name: f"input.{name}" for name in names}}}  # type: ignore[dict-item]
    profile = Profile(goals=("rest",), themes=("the sea", "dogs"), avoid=("Dogs",), tone="calm")
    async with telling(safe, teller=Fresh, turn={**TURN, "steps": [step]}) as kernel:
        sessions = kernel.get(SESSIONS)
        await set_profile(sessions, "s", "anna", profile)
        for number in range(8):
            await kernel.get(ORCHESTRATION).process_user_input(f"line {number}", "s", user="anna")
        session = await sessions.get("s")
    first, *_, last = Fresh.given
    assert (first.history, first.profile, first.tone, first.themes) == ((), profile, "calm", ("the sea",))
    assert [page.said for page in last.history] == [f"line {number}" for number in range(1, 7)]
    assert last.history[-1] == Page(7, "line 6", "You said line 6. The sea answers.", "story")
    assert last.due > first.due > 0
    assert session is not None
    assert session.context["last_agent"] == "teller"


class Remembering(Background):
    """Remembers the last thing that was said."""

    spec = msgspec.structs.replace(Background.spec, output=ToldAndMore)

    async def process(self, request: Any, ctx: StepContext, /) -> Any:
        told = await super().process(request, ctx)
        return ToldAndMore(told.text, told.world, {"said": request.text})


async def test_what_a_run_asks_to_remember_the_next_turn_knows_and_a_check_may_refuse_it() -> None:
    class Fresh(Remembering):
        given: ClassVar[list[Any]] = []

    step = {**STORY, "input": {**STORY["input"], "memory": "input.memory"}}  # type: ignore[dict-item]
    output = {**TURN["output"], "memory": "steps.story.memory"}  # type: ignore[dict-item]

    def no_secrets(text: str, channel: Channel, about: About) -> Verdict:
        return BLOCKED if channel == "tool" and "SECRET" in text else SAFE

    async with telling(no_secrets, teller=Fresh, turn={"steps": [step], "output": output}) as kernel:
        for said in ("a name", "SECRET", "another"):
            await kernel.get(ORCHESTRATION).process_user_input(said, "s", user="anna")
    assert [scene.memory for scene in Fresh.given] == [{}, {"said": "a name"}, {"said": "a name"}]
