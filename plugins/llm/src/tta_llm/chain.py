"""From a chain of models to one answer: whose turn it is, who is tried again, and who is asked instead."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import anyio
from msgspec import Struct
from msgspec.structs import replace

from tta_breakers import Breakers, Permit, Refused
from tta_kernel import Event

from .charging import Charging, amount_of
from .errors import LlmError
from .events import LlmCalled
from .gate import Gate
from .listening import listen
from .model import ChatRequest, Message, Schema, Usage, estimated_tokens, tokens_of
from .models import Delta, ModelCall, Models, ToolOffer
from .settings import Config, ModelSettings, Retries

_ELSEWHERE = frozenset({
    "unavailable", "timed_out", "rate_limited", "over_budget", "broken_stream", "too_large", "denied",
})  # fmt: skip
"""What may be answered by another model; all else is the request's own fault, or a decision."""
_BLAMED = frozenset({"unavailable", "timed_out", "broken_stream"})
"""What a breaker counts: the server is away, or doesn't do its work."""
_WORKED_ON = frozenset({"", "timed_out", "broken_stream", "cancelled"})
"""How a request ends on which a server has, or may have, worked."""
_MOST_GATES = 1000
_MOST_TOKENS = 10**9
"""What a server says beyond that is a mistake."""


class Wanted(Struct, frozen=True):
    """What is asked of whichever model of a chain answers; ``call`` says which of a request's calls it is."""

    request: ChatRequest
    models: Sequence[str]
    messages: Sequence[Message]
    call: str
    until: float
    schema: Schema | None = None
    tools: tuple[ToolOffer, ...] = ()


class Bill(Struct):
    """What answering has come to so far; ``model`` is who answered last."""

    model: str = ""
    usage: Usage = Usage()
    cost: int = 0
    attempts: int = 0


class _Try(Struct):
    """What is known of one request to one model while it lasts; ``sent``: a server may have worked on it."""

    began: float
    sent: bool = False
    first: float = 0.0
    characters: int = 0
    usage: Usage | None = None


class Chain:
    """Asks models in order; ``random`` gives a number from 0 to 1 for pauses."""

    def __init__(
        self, models: Models, config: Config, charging: Charging, *,
        breakers: Breakers | None = None, publish: Callable[[Event], None] = lambda event: None,
        random: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self._models, self._config, self._charging = models, config, charging
        self._breakers, self._publish, self._random = breakers, publish, random
        self._gates: dict[str, Gate] = {}

    async def ask(self, wanted: Wanted, bill: Bill, *, hold: bool) -> AsyncGenerator[Delta, None]:
        """Yield the answer of the first model that can be used.

        With ``hold`` nothing is yielded before an answer is whole, so that one that breaks can be asked for anew.
        """
        failed: LlmError | None = None
        for model in wanted.models:
            begun = False
            try:
                async with aclosing(self._of_one(model, wanted, bill, hold)) as deltas:
                    async for delta in deltas:
                        begun = True
                        yield delta
                return
            except LlmError as exc:
                if begun or exc.code not in _ELSEWHERE:
                    raise
                failed = exc
        assert failed is not None
        raise failed

    def gate(self, model: str) -> Gate:
        """Return who lets requests to a model in."""
        found = self._gates.get(model)
        if found is None:
            if len(self._gates) >= _MOST_GATES:
                self._gates = {name: it for name, it in self._gates.items() if it.running or it.waiting}
            found = self._gates[model] = Gate(model, self._config.settings_of(model), anyio.current_time)
        return found

    async def _of_one(
        self, model: str, wanted: Wanted, bill: Bill, hold: bool
    ) -> AsyncGenerator[Delta, None]:  # fmt: skip
        settings, retries = self._config.settings_of(model), self._config.retries
        call, asked = self._call(model, wanted, settings)
        most = amount_of(Usage(asked, call.max_tokens or settings.answer), settings)
        charge = await self._charging.reserve(wanted.request, f"{wanted.call}:{model}", most)
        used = Usage()
        try:
            for number in range(retries.times + 1):
                begun, known = False, _Try(anyio.current_time())
                code, bill.model = "cancelled", model
                try:
                    async with aclosing(self._once(call, wanted, bill, known, hold)) as deltas:
                        async for delta in deltas:
                            begun = True
                            yield delta
                    code = ""
                    return
                except LlmError as exc:
                    code = exc.code
                    known.sent = known.sent and exc.reached
                    pause = self._pause(exc, number, retries)
                    if begun or pause is None or anyio.current_time() + pause >= wanted.until:
                        raise
                finally:
                    spent = _spent(known, asked, code)
                    used = used.plus(spent)
                    bill.usage = bill.usage.plus(spent)
                    cost = amount_of(spent, settings).money
                    bill.cost += cost
                    self._tell(model, code, known, spent, cost, wanted.request)
                await anyio.sleep(pause)
        finally:
            await charge.settle(amount_of(used, settings))

    async def _once(
        self, call: ModelCall, wanted: Wanted, bill: Bill, known: _Try, hold: bool
    ) -> AsyncGenerator[Delta, None]:  # fmt: skip
        limits = self._config.limits
        who = wanted.request.session or wanted.request.owner
        left = wanted.until - anyio.current_time()
        held: list[Delta] = []
        async with self.gate(call.model).turn(who, max(0.0, min(limits.queue, left))):
            permit = await self._permit(call.model)
            bill.attempts += 1
            known.began, known.sent = anyio.current_time(), True
            # Cancelled, left, refused, or too many at once: that says nothing of whether the server can be reached.
            settle = permit.returned
            try:
                async with aclosing(listen(self._models, call, limits, wanted.until)) as deltas:
                    async for delta in deltas:
                        _note(known, delta)
                        if hold:
                            held.append(delta)
                        elif delta.text or delta.tool_calls or delta.finish is not None:
                            yield delta
                settle = permit.succeeded
            except LlmError as exc:
                if exc.code in _BLAMED:
                    settle = permit.failed
                raise
            finally:
                settle()
        for delta in held:
            yield delta

    async def _permit(self, model: str) -> Permit:
        if self._breakers is None:
            return Permit()
        answer = await self._breakers.breaker(f"llm:{model}"[:200]).admit()
        if isinstance(answer, Refused):
            raise LlmError(
                "unavailable", f"model {model} has failed too often, and is asked again in {answer.again:.1f} s",
                retry_after=max(answer.again, self._config.retries.longest), reached=False,
            )  # fmt: skip
        return answer

    def _call(self, model: str, wanted: Wanted, settings: ModelSettings) -> tuple[ModelCall, int]:
        """Return the request to a model, and how many tokens it is estimated to hold."""
        request = wanted.request
        answer = request.max_tokens or settings.answer
        more = sum(len(str(tool.parameters)) + len(tool.description) for tool in wanted.tools)
        more += len(str(wanted.schema)) if wanted.schema is not None else 0
        asked = estimated_tokens(wanted.messages) + tokens_of(more)
        if settings.window is not None and asked + answer > settings.window:
            raise LlmError(
                "too_large", f"model {model} holds {settings.window} tokens, and this would be about {asked} and "
                f"{answer} for the answer", reached=False,
            )  # fmt: skip
        call = ModelCall(
            model=model, messages=wanted.messages, max_tokens=answer, temperature=request.temperature,
            seed=request.seed, stop=request.stop, schema=wanted.schema, tools=wanted.tools,
            connect=self._config.limits.connect, most=self._config.most_answer,
        )  # fmt: skip
        return call, asked

    def _pause(self, exc: LlmError, number: int, retries: Retries) -> float | None:
        """Return how long to wait before the next try; None where there is to be none."""
        if number >= retries.times or not exc.retryable or exc.code not in _BLAMED | {"rate_limited"}:
            return None
        # At random from nothing on: whoever failed together doesn't come back together.
        jittered = self._random() * min(retries.longest, retries.pause * 2.0**number)
        if exc.retry_after is None:
            return jittered
        return None if exc.retry_after > retries.patience else exc.retry_after + jittered

    def _tell(
        self, model: str, code: str, known: _Try, spent: Usage, cost: int, request: ChatRequest
    ) -> None:  # fmt: skip
        self._publish(
            LlmCalled(
                model=model, code=code, seconds=anyio.current_time() - known.began, first=known.first,
                prompt=spent.prompt, completion=spent.completion, cost=cost, agent=request.agent,
                session=request.session, owner=request.owner,
            )
        )  # fmt: skip


def _note(known: _Try, delta: Delta) -> None:
    said = len(delta.text) + sum(len(call.arguments) for call in delta.tool_calls)
    if said and not known.characters:
        known.first = anyio.current_time() - known.began
    known.characters += said
    if delta.usage is not None:
        # Not added up: a server that says it twice has still counted once.
        known.usage = replace(
            delta.usage, prompt=min(delta.usage.prompt, _MOST_TOKENS),
            completion=min(delta.usage.completion, _MOST_TOKENS),
        )  # fmt: skip


def _spent(known: _Try, asked: int, code: str) -> Usage:
    """Return what a request has come to: as the server says, or else by our estimate of what it has worked on."""
    if known.usage is not None and (known.usage.completion or not known.characters):
        # Some servers say 0, whatever they have written.
        return known.usage
    if known.characters or (known.sent and code in _WORKED_ON):
        return Usage(asked, tokens_of(known.characters), estimated=True)
    return Usage()
