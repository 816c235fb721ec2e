"""What a caller is promised to hear while its call goes on: signs of life, and what takes effects back."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tta_agents.model import AgentError, AgentId, StepContext, Undo

from .echo import ECHO, FOREIGN, PATIENCE, Answer, Ask, Deployment, Echo, into, stream

TAKE_BACK = AgentId("take-back")


class ProgressContract:
    """A part of `AgentsContract`."""

    # Signs of life

    async def test_a_caller_hears_that_the_work_goes_on(self, deployment: Deployment) -> None:
        heard: list[int] = []

        async def work(request: Ask, ctx: StepContext) -> Answer:
            while len(heard) < 4:
                ctx.heartbeat()
                await anyio.sleep(0.001)
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_beat=lambda: heard.append(1))
        assert len(heard) >= 4

    async def test_a_caller_hears_that_the_work_has_begun_and_then_nothing_of_an_agent_that_is_silent(
        self, deployment: Deployment
    ) -> None:
        begun = anyio.Event()
        heard: list[int] = []

        def on_beat() -> None:
            heard.append(1)
            begun.set()

        async def work(request: Ask, ctx: StepContext) -> Answer:
            await begun.wait()
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_beat=on_beat)
        assert heard == [1]

    async def test_a_piece_is_a_sign_of_life_with_a_reader_and_without(self, deployment: Deployment) -> None:
        heard: list[int] = []
        pieces: list[str] = []

        async def work(request: Ask, ctx: StepContext) -> Answer:
            said = ""
            while len(heard) < 4:
                await ctx.emit("a")
                said += "a"
                await anyio.sleep(0.001)
            return Answer(said)

        def on_beat() -> None:
            heard.append(1)

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                await deployment.calling.call(ECHO, Ask("x"), key="a", on_beat=on_beat, on_piece=into(pieces))
                assert len(heard) >= 4
                heard.clear()
                await deployment.calling.call(ECHO, Ask("x"), key="b", on_beat=on_beat)
        assert len(heard) >= 4

    async def test_without_a_listener_heartbeats_and_undos_hold_nothing_up(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Answer:
            for number in range(1000):
                ctx.heartbeat()
                await ctx.on_rollback(TAKE_BACK, {"number": number})
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                reply = await deployment.calling.call(ECHO, Ask("x"), key="k")
        assert [undo.arguments["number"] for undo in reply.undo] == list(range(1000))

    @pytest.mark.parametrize("kind", [ValueError, *FOREIGN])
    async def test_a_listener_that_raises_at_a_heartbeat_ends_the_call_and_the_agent(
        self, deployment: Deployment, kind: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        ended = anyio.Event()

        async def work(request: Ask, ctx: StepContext) -> Any:
            try:
                while True:
                    await anyio.sleep(0.001)
                    ctx.heartbeat()
            finally:
                ended.set()

        heard: list[int] = []

        def on_beat() -> None:
            heard.append(1)
            if len(heard) > 1:  # At the first the agent has only begun.
                raise kind("secret")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                with pytest.raises(AgentError, match=kind.__name__) as caught:
                    await deployment.calling.call(ECHO, Ask("x"), key="k", on_beat=on_beat)
                await ended.wait()
            [statistics] = deployment.serving[0].statistics().values()
        assert (caught.value.code, statistics.errors) == ("failed", 0)
        assert "secret" not in str(caught.value) + caplog.text

    # What takes effects back

    async def test_an_agent_goes_on_only_when_its_caller_has_what_takes_the_effect_back(
        self, deployment: Deployment
    ) -> None:
        effects: list[int] = []
        taken: list[tuple[Undo, int]] = []

        async def on_undo(undo: Undo) -> None:
            await anyio.lowlevel.checkpoint()
            taken.append((undo, len(effects)))

        async def work(request: Ask, ctx: StepContext) -> Answer:
            arguments = {"text": "undo"}
            for number in range(3):
                await ctx.on_rollback(TAKE_BACK, arguments)
                effects.append(number)
            arguments["text"] = "changed"
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                reply = await deployment.calling.call(ECHO, Ask("x"), key="k", on_undo=on_undo)
        # Equal arguments are two undos all the same: each has its number.
        wanted = [Undo(TAKE_BACK, {"text": "undo"}, number) for number in range(3)]
        assert taken == list(zip(wanted, range(3), strict=True))
        assert reply.undo == tuple(wanted)

    @pytest.mark.parametrize("end", [ValueError, AgentError, None], ids=["broken", "tired", "late"])
    async def test_what_takes_an_effect_back_is_known_although_the_agent_fails(
        self, deployment: Deployment, end: type[Exception] | None
    ) -> None:
        taken: list[Undo] = []

        async def on_undo(undo: Undo) -> None:
            taken.append(undo)

        async def work(request: Ask, ctx: StepContext) -> Any:
            await ctx.on_rollback(TAKE_BACK, {"text": "undo"})
            if end is not None:
                raise end("tired")
            await anyio.sleep_forever()

        async with deployment.serving[0].serve(Echo(work, timeout=1.0 if end is None else PATIENCE)):
            with anyio.fail_after(PATIENCE), pytest.raises(AgentError):
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_undo=on_undo)
        assert taken == [Undo(TAKE_BACK, {"text": "undo"})]

    @pytest.mark.parametrize("kind", [ValueError, *FOREIGN])
    async def test_an_undo_that_is_refused_ends_the_call_and_the_agent_whatever_that_makes_of_it(
        self, deployment: Deployment, kind: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        effects: list[str] = []
        ended = anyio.Event()

        async def on_undo(undo: Undo) -> None:
            raise kind("secret")

        async def work(request: Ask, ctx: StepContext) -> Answer:
            try:
                await ctx.on_rollback(TAKE_BACK, {"text": "undo"})
            except Exception:  # noqa: BLE001 - as an agent may
                effects.append("caught")
            finally:
                ended.set()
            effects.append("went on")
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                with pytest.raises(AgentError, match=kind.__name__) as caught:
                    await deployment.calling.call(ECHO, Ask("x"), key="k", on_undo=on_undo)
                await ended.wait()
            [statistics] = deployment.serving[0].statistics().values()
        assert (caught.value.code, caught.value.retryable) == ("undo_refused", True)
        assert (effects, statistics.errors) == ([], 0)
        assert "secret" not in str(caught.value) + caplog.text

    async def test_a_listener_s_own_error_is_the_call_s(self, deployment: Deployment) -> None:
        async def on_undo(undo: Undo) -> None:
            raise AgentError("fenced", "another process has the run")

        async def work(request: Ask, ctx: StepContext) -> Answer:
            await ctx.on_rollback(TAKE_BACK, {})
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE), pytest.raises(AgentError) as caught:
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_undo=on_undo)
        assert (caught.value.code, caught.value.retryable) == ("fenced", False)

    async def test_a_caller_that_does_not_take_an_undo_in_its_time_ends_the_agent(self, deployment: Deployment) -> None:
        effects: list[str] = []
        ended = anyio.Event()

        async def on_undo(undo: Undo) -> None:
            await anyio.sleep_forever()

        async def work(request: Ask, ctx: StepContext) -> Answer:
            try:
                await ctx.on_rollback(TAKE_BACK, {})
                effects.append("went on")
            finally:
                ended.set()
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.move_on_after(0.5) as scope:
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_undo=on_undo)
            with anyio.fail_after(PATIENCE):
                await ended.wait()
        assert scope.cancelled_caught
        assert effects == []

    @pytest.mark.parametrize("value", [object(), "\udcff", 2**70], ids=["object", "no text", "big"])
    @pytest.mark.parametrize("listening", [False, True])
    async def test_what_takes_an_effect_back_and_cannot_travel_is_bad_output(
        self, deployment: Deployment, value: object, *, listening: bool
    ) -> None:
        taken: list[Undo] = []

        async def on_undo(undo: Undo) -> None:
            taken.append(undo)

        async def work(request: Ask, ctx: StepContext) -> Answer:
            await ctx.on_rollback(TAKE_BACK, {"text": value})
            return Answer("x")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE), pytest.raises(AgentError) as caught:
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_undo=on_undo if listening else None)
        assert (caught.value.code, taken) == ("bad_output", [])

    async def test_a_kept_answer_tells_its_undos_too(self, deployment: Deployment) -> None:
        taken: list[Undo] = []

        async def on_undo(undo: Undo) -> None:
            taken.append(undo)

        async def work(request: Ask, ctx: StepContext) -> Answer:
            await ctx.on_rollback(TAKE_BACK, {"text": "undo"})
            return await stream("ab", ctx)

        async with deployment.serving[0].serve(Echo(work)):
            first = await deployment.calling.call(ECHO, Ask("x"), key="k")
            again = await deployment.calling.call(ECHO, Ask("x"), key="k", on_undo=on_undo)
        assert taken == list(first.undo) == list(again.undo)
        assert len(taken) == 1
