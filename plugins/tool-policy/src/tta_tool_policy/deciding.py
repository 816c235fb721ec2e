"""The policy that decides: by its rules, by what other engines say, and only what is recorded is allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio.to_thread
from msgspec.structs import replace

from tta_kernel import Problem

from .counting import Counts
from .loading import Loader
from .model import Decision, Explanation, Limits, PolicyStatus, Reloaded, ToolCall
from .opinions import Answers, with_opinions
from .reading import Format, PolicyError, read_policy
from .recording import Recorder, entry_of
from .showing import redacted


class RulesPolicy:
    """Implements `Policy` by the rules of a file.

    ``ask`` asks other engines about a call; None where there are none, so that most calls need not wait for anything.
    """

    def __init__(
        self,
        loader: Loader,
        counts: Counts,
        *,
        ask: Callable[[ToolCall], Awaitable[Answers]] | None,
        recorder: Recorder | None,
        hidden: Sequence[str],
    ) -> None:
        self._loader = loader
        self._counts = counts
        self._ask = ask
        self._recorder = recorder
        self._hidden = hidden

    async def decide(self, call: ToolCall) -> Decision:
        decision = self._loader.engine.decide(call)
        ask = self._ask
        if ask is not None and decision.effect != "deny":
            decision = await with_opinions(decision, lambda: ask(call))
        if self._recorder is not None and not await self._recorder.keep(entry_of(call, decision)):
            self._counts.unrecorded()
            if decision.effect != "deny":
                decision = replace(
                    decision, effect="deny", rule="policy", reason="unrecorded", limits=Limits(), approval_ttl=None
                )
        self._counts.decided(decision)
        return decision

    def reads_flags(self, tool: str, version: str) -> bool:
        return self._loader.engine.reads_flags(tool)

    def explain(self, call: ToolCall) -> Explanation:
        return self._loader.engine.explain(call)

    def status(self) -> PolicyStatus:
        return self._loader.status()

    async def reload(self) -> Reloaded:
        return await self._loader.reload()

    def redacted(self) -> Mapping[str, Any]:
        return redacted(self._loader.engine.text, self._hidden)

    async def validate(self, text: str, format: Format = "yaml") -> Sequence[Problem]:
        return await anyio.to_thread.run_sync(problems_of, text, format)


def problems_of(text: str, format: Format) -> Sequence[Problem]:
    """Say what is wrong with a policy that is written so."""
    try:
        read_policy(text, "the policy", format)
    except PolicyError as error:
        return error.problems
    return ()
