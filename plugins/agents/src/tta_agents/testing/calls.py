"""What a call promises, wherever the agent is served."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from tta_agents.model import AgentError, AgentId, Agents, Reply, StepContext
from tta_kernel import correlation_id
from tta_kernel.testing import until
from tta_kernel.testing.numbers import NO_COUNTS

from .echo import ECHO, FOREIGN, PATIENCE, Answer, Ask, Deployment, Echo, call, error_of
from .progress import ProgressContract
from .streams import StreamsContract

_ENDLESS: dict[str, Any] = {}
_ENDLESS["it"] = _ENDLESS


class AgentsContract(StreamsContract, ProgressContract):
    """Subclass this, and give a fixture ``deployment``; where several serve, they share their replies."""

    async def test_an_answer_comes_as_builtins_and_decodes_to_its_struct(self, deployment: Deployment) -> None:
        async with deployment.serving[0].serve(Echo()) as id:
            reply = await deployment.calling.call(ECHO, Ask("hi", 2), key="k")
        assert reply.agent == id
        assert reply.output == {"text": "hihi", "parts": ["hi"]}
        assert reply.decode(Answer) == Answer("hihi", ("hi",))

    async def test_a_mapping_is_a_request_and_the_agent_sees_its_struct(self, deployment: Deployment) -> None:
        async with deployment.serving[0].serve(echo := Echo()):
            await deployment.calling.call(ECHO, {"text": "hi"}, key="k")
        assert echo.requests == [Ask("hi")]

    async def test_the_agent_sees_what_the_call_is_for(self, deployment: Deployment) -> None:
        seen: list[object] = []

        async def work(request: Ask, ctx: StepContext) -> Answer:
            seen.extend((ctx.key, ctx.attempt, ctx.session, ctx.owner, ctx.released, correlation_id.get()))
            return Answer("")

        async with deployment.serving[0].serve(Echo(work)):
            token = correlation_id.set("c")
            await deployment.calling.call(
                ECHO, Ask("x"), key="k", attempt=3, session="s", owner="o", released="Once upon"
            )
            correlation_id.reset(token)
            await deployment.calling.call(ECHO, Ask("x"), key="other")
        assert seen == ["k", 3, "s", "o", "Once upon", "c", "other", 1, "", "", "", ""]

    async def test_a_reply_and_a_card_say_which_version_of_the_agent_it_is(self, deployment: Deployment) -> None:
        serving = deployment.serving[0]
        async with serving.serve(Echo(version="2.1.0-rc.1")):
            [card] = serving.served()
            replies = [await deployment.calling.call(ECHO, Ask("x"), key="k") for _ in range(2)]
        assert card.agent_version == "2.1.0-rc.1"
        assert [reply.agent_version for reply in replies] == ["2.1.0-rc.1"] * 2

    # Addresses

    async def test_an_instance_in_the_address_picks_that_agent(self, deployment: Deployment) -> None:
        one, two = Echo(), Echo()
        first, last = deployment.serving[0], deployment.serving[-1]
        async with first.serve(one, instance="one"), last.serve(two, instance="two"):
            for key in "abc":
                await deployment.calling.call(AgentId("echo", "two"), Ask("x"), key=key)
        assert (len(one.requests), len(two.requests)) == (0, 3)

    async def test_calls_without_an_instance_are_spread(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Answer:
            if len(one.requests) + len(two.requests) >= 20:
                all_begun.set()
            await all_begun.wait()
            return Answer("")

        one, two, all_begun = Echo(work), Echo(work), anyio.Event()
        async with AsyncExitStack() as stack:
            for agents, echo in ((deployment.serving[0], one), (deployment.serving[-1], two)):
                await stack.enter_async_context(agents.serve(echo))
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    for n in range(20):
                        tasks.start_soon(call, deployment.calling, Ask("x"), str(n))
        assert len(one.requests) + len(two.requests) == 20
        assert min(len(one.requests), len(two.requests)) >= 4

    @pytest.mark.parametrize("to", [AgentId("echos"), AgentId("echo", "other"), AgentId("no queue's name", "ü")])
    async def test_an_address_that_nobody_serves_is_not_served_at_once(
        self, deployment: Deployment, to: AgentId
    ) -> None:
        async with deployment.serving[0].serve(Echo(), instance="one"):
            with anyio.fail_after(5):
                error = await error_of(deployment.calling, Ask("x"), to)
        assert (error.code, error.retryable) == ("not_served", True)

    async def test_an_agent_that_stopped_is_not_served(self, deployment: Deployment) -> None:
        async with deployment.serving[0].serve(Echo()):
            await deployment.calling.call(ECHO, Ask("x"), key="k")
        with anyio.fail_after(5):
            error = await error_of(deployment.calling, Ask("x"), key="other")
        assert error.code == "not_served"

    # Errors

    @pytest.mark.parametrize("request_", [{"text": 5}, {"words": "my secret"}, {"text": "x", "times": "my secret"}])
    async def test_a_request_that_does_not_fit_is_bad_and_not_repeated(
        self, deployment: Deployment, request_: dict[str, Any]
    ) -> None:
        async with deployment.serving[0].serve(echo := Echo()):
            error = await error_of(deployment.calling, request_)
        assert (error.code, error.retryable) == ("bad_request", False)
        assert "secret" not in str(error)
        assert echo.requests == []

    @pytest.mark.parametrize("text", [object(), "\udcff", 2**70, _ENDLESS], ids=["object", "no text", "big", "endless"])
    async def test_a_request_that_cannot_travel_is_bad(self, deployment: Deployment, text: Any) -> None:
        async with deployment.serving[0].serve(Echo()):
            error = await error_of(deployment.calling, {"text": text})
        assert error.code == "bad_request"

    @pytest.mark.parametrize(
        "odd",
        [{"key": "\udcff"}, {"session": "\udcff"}, {"owner": "\udcff"}, {"attempt": 2**70}, {"released": "\udcff"}],
        ids=str,
    )
    async def test_a_call_of_which_something_else_cannot_travel_is_bad(
        self, deployment: Deployment, odd: dict[str, Any]
    ) -> None:
        async with deployment.serving[0].serve(echo := Echo()):
            with pytest.raises(AgentError) as caught:
                await deployment.calling.call(ECHO, Ask("x"), **{"key": "k", **odd})
        assert caught.value.code == "bad_request"
        assert echo.requests == []

    async def test_an_attempt_that_is_no_number_from_1_on_is_a_mistake(self, deployment: Deployment) -> None:
        async with deployment.serving[0].serve(echo := Echo()):
            for attempt in NO_COUNTS:
                with pytest.raises(ValueError, match="attempt"):
                    await deployment.calling.call(ECHO, Ask("x"), key="k", attempt=attempt)
        assert echo.requests == []

    async def test_an_answer_of_another_type_is_bad_output(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Any:
            return {"text": request.text}

        async with deployment.serving[0].serve(Echo(work)):
            error = await error_of(deployment.calling, Ask("my secret"))
        assert error.code == "bad_output"
        assert "secret" not in str(error)

    async def test_an_agent_that_raises_has_failed_without_the_person_s_text(
        self, deployment: Deployment, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(request: Ask, ctx: StepContext) -> Any:
            raise ValueError(f"cannot do {request.text}")

        async with deployment.serving[0].serve(Echo(work)):
            error = await error_of(deployment.calling, Ask("my secret"))
        assert (error.code, error.retryable) == ("failed", True)
        assert "ValueError" in str(error)
        assert error.__cause__ is None
        assert "secret" not in str(error) + caplog.text

    @pytest.mark.parametrize("kind", FOREIGN)
    async def test_an_agent_that_exits_or_is_cancelled_from_elsewhere_has_failed(
        self, deployment: Deployment, kind: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(request: Ask, ctx: StepContext) -> Any:
            if request.text == "well":
                return Answer("well")
            raise kind(request.text)

        async with deployment.serving[0].serve(Echo(work)):
            error = await error_of(deployment.calling, Ask("my secret"))
            [statistics] = deployment.serving[0].statistics().values()
            reply = await deployment.calling.call(ECHO, Ask("well"), key="well")
        assert (error.code, error.retryable) == ("failed", True)
        assert kind.__name__ in str(error)
        assert "secret" not in str(error) + caplog.text
        assert (statistics.errors, statistics.running) == (1, 0)
        assert reply.output["text"] == "well"

    async def test_an_agent_s_own_error_keeps_what_it_says(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Any:
            raise AgentError("tired", "after a long day", retryable=True)

        async with deployment.serving[0].serve(Echo(work)):
            error = await error_of(deployment.calling, Ask("x"))
        assert (error.code, error.detail, error.retryable) == ("tired", "after a long day", True)
        assert (error.own, error.shown, str(error)) == (True, "", "tired")

    @pytest.mark.parametrize("code", ["What they said to me.", "", "x" * 65])
    async def test_an_error_s_code_that_is_no_word_travels_as_failed(self, deployment: Deployment, code: str) -> None:
        async def work(request: Ask, ctx: StepContext) -> Any:
            raise AgentError(code)

        async with deployment.serving[0].serve(Echo(work)):
            error = await error_of(deployment.calling, Ask("x"))
        assert (error.code, str(error)) == ("failed", "failed")

    async def test_an_agent_past_its_time_is_a_timeout_that_may_be_tried_again(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Any:
            await anyio.sleep_forever()

        async with deployment.serving[0].serve(Echo(work, timeout=0.01)):
            error = await error_of(deployment.calling, Ask("x"))
        assert (error.code, error.retryable) == ("timeout", True)

    # Idempotency

    async def test_a_repeated_key_runs_once_wherever_and_another_key_again(self, deployment: Deployment) -> None:
        one, two = Echo(), Echo()
        async with deployment.serving[0].serve(one), deployment.serving[-1].serve(two):
            replies = [await deployment.calling.call(ECHO, Ask("x"), key="k", attempt=n) for n in range(1, 7)]
            await deployment.calling.call(ECHO, Ask("x"), key="other")
        assert replies == [replies[0]] * 6
        assert len(one.requests) + len(two.requests) == 2

    async def test_callers_at_once_with_one_key_share_one_run(self, deployment: Deployment) -> None:
        replies: list[Reply] = []
        async with deployment.serving[0].serve(echo := Echo()):
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    for _ in range(5):
                        tasks.start_soon(call, deployment.calling, Ask("x"), "k", replies)
        assert len(echo.requests) == 1
        assert replies == [replies[0]] * 5

    async def test_a_failure_is_not_kept(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Answer:
            if ctx.attempt == 1:
                raise AgentError("tired", retryable=True)
            return Answer("done")

        async with deployment.serving[0].serve(Echo(work)):
            assert (await error_of(deployment.calling, Ask("x"))).code == "tired"
            reply = await deployment.calling.call(ECHO, Ask("x"), key="k", attempt=2)
        assert reply.output["text"] == "done"

    # Deadlines and cancellation

    async def test_a_cancelled_caller_cancels_the_agent(self, deployment: Deployment) -> None:
        ended = anyio.Event()

        async def work(request: Ask, ctx: StepContext) -> Any:
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

        async with deployment.serving[0].serve(echo := Echo(work)):
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(call, deployment.calling, Ask("x"), "k")
                    await echo.begun.wait()
                    tasks.cancel_scope.cancel()
                await ended.wait()

    async def test_the_caller_s_deadline_ends_the_call_and_the_agent(self, deployment: Deployment) -> None:
        ended = anyio.Event()

        async def work(request: Ask, ctx: StepContext) -> Any:
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.move_on_after(0.3) as scope:
                await deployment.calling.call(ECHO, Ask("x"), key="k")
            with anyio.fail_after(PATIENCE):
                await ended.wait()
        assert scope.cancelled_caught

    async def test_the_next_caller_runs_it_when_the_first_is_cancelled(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Answer:
            if request.text == "first":
                await anyio.sleep_forever()
            return Answer("second")

        replies: list[Reply] = []
        first = anyio.CancelScope()

        async def one() -> None:
            with first:
                await deployment.calling.call(ECHO, Ask("first"), key="k")

        async with deployment.serving[0].serve(echo := Echo(work)):
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(one)
                    await echo.begun.wait()
                    tasks.start_soon(call, deployment.calling, Ask("second"), "k", replies)
                    await anyio.wait_all_tasks_blocked()
                    first.cancel()
        assert [reply.output["text"] for reply in replies] == ["second"]

    async def test_a_call_that_runs_when_its_agent_stops_comes_to_its_end(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Answer:
            await stopping.wait()
            return Answer("done")

        async def set_once_it_stops(agents: Agents, event: anyio.Event) -> None:
            await until(lambda: not agents.served())
            event.set()

        replies: list[Reply] = []
        stopping, echo = anyio.Event(), Echo(work)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks, deployment.serving[0].serve(echo):
                tasks.start_soon(call, deployment.calling, Ask("x"), "k", replies)
                await echo.begun.wait()
                tasks.start_soon(set_once_it_stops, deployment.serving[0], stopping)
        assert [reply.output["text"] for reply in replies] == ["done"]
