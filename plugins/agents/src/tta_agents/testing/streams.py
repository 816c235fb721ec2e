"""What a streamed call promises, wherever the agent is served."""

from __future__ import annotations

import anyio
import pytest

from tta_agents.model import AgentError, StepContext

from .echo import ECHO, FOREIGN, PATIENCE, Answer, Ask, Deployment, Echo, error_of, into, stream


class StreamsContract:
    """A part of `AgentsContract`."""

    async def test_pieces_reach_the_reader_in_order_as_they_were(self, deployment: Deployment) -> None:
        heard: list[str] = []
        async with deployment.serving[0].serve(Echo(lambda request, ctx: stream(request.text, ctx))):
            reply = await deployment.calling.call(ECHO, Ask("abc" * 100), key="k", on_piece=into(heard))
        assert heard == list("abc" * 100)
        assert reply.output["text"] == "abc" * 100

    async def test_a_piece_comes_before_the_next_is_made(self, deployment: Deployment) -> None:
        heard: list[str] = []
        first = anyio.Event()

        async def on_piece(piece: str) -> None:
            heard.append(piece)
            first.set()

        async def work(request: Ask, ctx: StepContext) -> Answer:
            await ctx.emit("a")
            await first.wait()
            await ctx.emit("b")
            return Answer("ab")

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_piece=on_piece)
        assert heard == ["a", "b"]

    async def test_a_slow_reader_slows_the_agent(self, deployment: Deployment) -> None:
        emitted = heard = ahead = 0

        async def on_piece(piece: str) -> None:
            nonlocal heard, ahead
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            heard += 1
            ahead = max(ahead, emitted - heard)

        async def work(request: Ask, ctx: StepContext) -> Answer:
            nonlocal emitted
            for _ in range(1000):
                await ctx.emit("a")
                emitted += 1
            return Answer("a" * 1000)

        async with deployment.serving[0].serve(Echo(work)):
            with anyio.fail_after(PATIENCE):
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_piece=on_piece)
        assert heard == 1000
        assert ahead <= 100

    async def test_without_a_reader_nothing_waits(self, deployment: Deployment) -> None:
        async with deployment.serving[0].serve(Echo(lambda request, ctx: stream("a" * 1000, ctx))):
            with anyio.fail_after(PATIENCE):
                reply = await deployment.calling.call(ECHO, Ask("x"), key="k")
        assert reply.output["text"] == "a" * 1000

    async def test_pieces_that_do_not_join_to_the_text_are_bad_output(self, deployment: Deployment) -> None:
        async def work(request: Ask, ctx: StepContext) -> Answer:
            await ctx.emit("a")
            return Answer("ab")

        async with deployment.serving[0].serve(Echo(work)):
            assert (await error_of(deployment.calling, Ask("x"))).code == "bad_output"

    async def test_a_kept_answer_comes_in_one_piece(self, deployment: Deployment) -> None:
        heard: list[str] = []
        async with deployment.serving[0].serve(Echo(lambda request, ctx: stream("ab", ctx))):
            await deployment.calling.call(ECHO, Ask("x"), key="k", on_piece=into(heard))
            await deployment.calling.call(ECHO, Ask("x"), key="k", on_piece=into(heard))
        assert heard == ["a", "b", "ab"]

    async def test_a_reader_that_raises_fails_the_call_without_its_text(self, deployment: Deployment) -> None:
        async def on_piece(piece: str) -> None:
            raise ValueError(f"cannot read {piece}")

        async with deployment.serving[0].serve(Echo(lambda request, ctx: stream("secret", ctx))):
            with anyio.fail_after(PATIENCE), pytest.raises(AgentError, match="ValueError") as caught:
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_piece=on_piece)
        assert caught.value.code == "failed"

    @pytest.mark.parametrize("kind", FOREIGN)
    async def test_a_reader_that_exits_or_is_cancelled_from_elsewhere_fails_the_call(
        self, deployment: Deployment, kind: type[BaseException]
    ) -> None:
        async def on_piece(piece: str) -> None:
            raise kind

        async with deployment.serving[0].serve(Echo(lambda request, ctx: stream("ab", ctx))):
            with anyio.fail_after(PATIENCE), pytest.raises(AgentError, match=kind.__name__) as caught:
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_piece=on_piece)
        assert caught.value.code == "failed"

    @pytest.mark.parametrize("kind", [ValueError, *FOREIGN])
    async def test_a_reader_of_a_kept_answer_that_raises_fails_the_call(
        self, deployment: Deployment, kind: type[BaseException]
    ) -> None:
        async def on_piece(piece: str) -> None:
            raise kind

        async with deployment.serving[0].serve(Echo(lambda request, ctx: stream("ab", ctx))):
            await deployment.calling.call(ECHO, Ask("x"), key="k")
            with anyio.fail_after(PATIENCE), pytest.raises(AgentError, match=kind.__name__) as caught:
                await deployment.calling.call(ECHO, Ask("x"), key="k", on_piece=on_piece)
        assert caught.value.code == "failed"
