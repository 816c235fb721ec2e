"""One request from its first call of a model to its reply: rounds of tools, and the repair of what doesn't fit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio
from msgspec import Struct

from tta_tools import Tools

from .chain import Bill, Chain, Wanted
from .errors import LlmError
from .model import ChatReply, ChatRequest, Finish, Message, Piece, ToolCall
from .models import Delta
from .settings import Config
from .structured import Shape
from .tooling import Toolbox, toolbox

_QUOTED = 20_000
"""Characters of a wrong answer that a model is shown again."""


class _Answer(Struct):
    """What one call of a model has come to."""

    parts: list[str] = []
    calls: list[ToolCall] = []
    finish: Finish = "stop"

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def add(self, delta: Delta) -> None:
        if delta.text:
            self.parts.append(delta.text)
        self.calls += delta.tool_calls
        if delta.finish is not None:
            self.finish = delta.finish


class Conversation:
    """Asks until there is an answer; ``reply`` is that, once the pieces have been read.

    With ``streams`` pieces are released as they come, and otherwise once the answer that they belong to is whole.
    """

    def __init__(
        self, chain: Chain, config: Config, request: ChatRequest, models: Sequence[str], *, until: float,
        tools: Tools | None, streams: bool,
    ) -> None:  # fmt: skip
        self._chain, self._config, self._request, self._models = chain, config, request, models
        self._until, self._tools = until, tools
        self._shape = None if request.schema is None else Shape(request.schema)
        self._hold = not streams or self._shape is not None
        self._bill = Bill()
        self._calls = 0
        self.reply: ChatReply | None = None

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Yield the answer; its reader sees to the time, and closes the generator."""
        box = await toolbox(self._tools, self._request, self._config.calls)
        messages = [*self._request.messages]
        if self._shape is not None:
            messages = _instructed(messages, self._shape)
        told: list[str] = []
        answer = _Answer()
        for number in range(self._config.rounds + 1):
            answer = _Answer()
            async with aclosing(self._ask(messages, answer, box)) as deltas:
                async for delta in deltas:
                    if delta.text and self._shape is None:
                        told.append(delta.text)
                        yield Piece(delta.text)
            if not answer.calls or not box.offers:
                break
            if number == self._config.rounds:
                raise LlmError("invalid_output", f"the model wanted tools more than {number} times: see `rounds`")
            messages.append(Message("assistant", answer.text, tool_calls=tuple(answer.calls)))
            messages += await self._called(box, answer.calls, number)
        if answer.finish == "filtered" and (self._shape is not None or not told):
            raise LlmError("refused", "the server has kept the answer back")
        if self._shape is None:
            self.reply = self._reply("".join(told), answer.finish)
            return
        self.reply = await self._structured(self._shape, messages, answer)
        yield Piece(self.reply.text)

    async def _called(self, box: Toolbox, calls: Sequence[ToolCall], number: int) -> Sequence[Message]:
        with anyio.CancelScope(deadline=self._until):
            return await box.call_all(calls, number)
        raise LlmError("timed_out", "the tools that the model wanted took too long")

    async def _structured(self, shape: Shape, messages: list[Message], answer: _Answer) -> ChatReply:
        """Return the reply with its output; a wrong one is repaired once, by the model that is told why."""
        output, wrong = shape.read(answer.text)
        if not wrong:
            return self._reply(answer.text, answer.finish, output)
        messages += [
            Message("assistant", answer.text[:_QUOTED]),
            Message("user", f"That doesn't fit: {wrong}. {shape.instruction()}"),
        ]
        repaired = _Answer()
        async with aclosing(self._ask(messages, repaired, None)) as deltas:
            async for _ in deltas:
                pass
        output, wrong = shape.read(repaired.text)
        if wrong:
            raise LlmError("invalid_output", "the answer doesn't fit its schema, nor did it when the model was told")
        return self._reply(repaired.text, repaired.finish, output, repaired=True)

    async def _ask(
        self, messages: Sequence[Message], answer: _Answer, box: Toolbox | None
    ) -> AsyncGenerator[Delta, None]:  # fmt: skip
        self._calls += 1
        wanted = Wanted(
            request=self._request, models=self._models, messages=tuple(messages), call=str(self._calls),
            until=self._until, schema=self._shape.schema if self._shape is not None else None,
            tools=box.offers if box is not None else (),
        )  # fmt: skip
        async with aclosing(self._chain.ask(wanted, self._bill, hold=self._hold)) as deltas:
            async for delta in deltas:
                answer.add(delta)
                yield delta

    def _reply(
        self, text: str, finish: Finish, output: object = None, *, repaired: bool = False
    ) -> ChatReply:  # fmt: skip
        bill = self._bill
        return ChatReply(
            text=text, model=bill.model, finish=finish, output=output, usage=bill.usage, cost=bill.cost,
            repaired=repaired, attempts=bill.attempts,
        )  # fmt: skip


def _instructed(messages: list[Message], shape: Shape) -> list[Message]:
    """Return messages that say at their beginning which shape the answer is to have."""
    first = messages[0]
    if first.role != "system":
        return [Message("system", shape.instruction()), *messages]
    # In one message: templates of some models take no second one.
    return [Message("system", f"{first.text}\n\n{shape.instruction()}"), *messages[1:]]
