"""The plugin that brings the vocabulary of policies, and the policy."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar, Literal

from msgspec import Struct

from tta_kernel import Context, Plugin, Problem

from . import hookspecs
from .hookspecs import decide_tool_call
from .model import POLICY, Decision, PolicyStatus, Reloaded, ToolCall
from .opinions import with_opinions


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set under ``plugins: {tool-policy: {config: ...}}``."""


class ToolPolicy(Plugin[Config]):
    """Decides about calls of tools by rules from a file; what no rule allows is denied."""

    provides = (POLICY,)
    hookspecs: ClassVar[ModuleType | None] = hookspecs

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(POLICY, _DenyAll(ctx))
        yield


class _DenyAll:
    """A policy without a rule."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._since = time.time()

    async def decide(self, call: ToolCall) -> Decision:
        denied = Decision(effect="deny", rule="default", reason="no-rule", policy="")
        return await with_opinions(denied, lambda: self._ctx.ask(decide_tool_call, call))

    def reads_flags(self, tool: str, version: str) -> bool:
        return False

    def status(self) -> PolicyStatus:
        return PolicyStatus(source="", hash="", since=self._since, rules=0, watching=False)

    async def reload(self) -> Reloaded:
        return Reloaded(at=time.time(), source="", hash="", ok=True)

    def redacted(self) -> Mapping[str, Any]:
        return {}

    async def validate(self, text: str, format: Literal["yaml", "json"] = "yaml") -> Sequence[Problem]:
        return ()
