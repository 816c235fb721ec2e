"""A call of a tool, from the policy's yes or no to what whoever asked gets."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from msgspec import Struct

from tta_http import Principal
from tta_kernel import Event, as_failure
from tta_sessions import Flags, Sessions, flags_of
from tta_tool_policy import Decision, GuardedPolicy, Policy, ToolCall

from .approving import Approvals, name_of
from .declaring import OnProgress, Tool
from .events import ToolCalled
from .keeping import Keeping, Made, digest
from .limiting import Limiter
from .making import Maker, Making
from .model import ToolError, ToolResult, ToolSpec
from .plain import NotPlain, encode_sorted, plain
from .registry import Registry
from .resolving import resolve
from .service import DryRun
from .settings import Config
from .sharing import Shared
from .statistics import Statistics
from .store import ToolStoreError

log = logging.getLogger("tta.tools")
_MOST_RESOLVED = 512
_FLAGS_LIMIT = 2.0
_GIVING_BACK = 2.0
"""Seconds that reading a session's flags may take."""


class Asked(Struct, frozen=True):
    """Who asks for a call, as the system knows it."""

    principal: Principal
    session: str = ""
    owner: str = ""
    agent: str = ""

    @property
    def scope(self) -> tuple[str, ...]:
        """Within which what is kept of a call is found again."""
        return (name_of(self.principal), self.owner, self.session)


class _Call(Making, kw_only=True):
    """How far a call has come: for whoever counts it, whatever it comes to."""

    asked: Asked
    key: str
    on_progress: OnProgress | None
    id: str = ""
    """``name:version``, once that is known."""
    cached: bool = False
    repeated: bool = False


class _Ready(Struct, frozen=True):
    """A call that may be made: its arguments fit, and the policy allows it, or wants a human to."""

    tool: Tool
    wanted: ToolCall
    decision: Decision


class Calls:
    """Makes the calls of one process."""

    def __init__(
        self, registry: Registry, maker: Maker, keeping: Keeping, approvals: Approvals, config: Config, *,
        policy: Policy | None, sessions: Sessions | None, publish: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._registry, self._maker, self._keeping, self._approvals = registry, maker, keeping, approvals
        self._config, self._sessions, self._publish = config, sessions, publish
        self._policy, self._explaining = GuardedPolicy(policy), policy
        self._resolved: dict[str, Tool] = {}
        self._limiter = Limiter(config.callers)
        self._shared = Shared[Made]()
        self.statistics = Statistics()

    async def run(
        self, name: str, arguments: Mapping[str, Any], asked: Asked, *, version: str = "", key: str = "",
        on_progress: OnProgress | None = None,
    ) -> ToolResult:  # fmt: skip
        """Make a call; see `Tools.run`."""
        begun = time.perf_counter()
        call = _Call(asked=asked, key=key, on_progress=on_progress)
        code = "cancelled"
        try:
            ready = await self._ready(call, name, version, arguments)
            made = await self._limited(call, ready)
            code = ""
        except ToolError as exc:
            code = exc.code
            raise
        finally:
            seconds = time.perf_counter() - begun
            if call.id:  # Without it there is no such tool, and so no name to count it by.
                self._tell(call, code, seconds)
        spec = ready.tool.spec
        return ToolResult(
            tool=spec.name, version=spec.version, value=made.value, seconds=seconds, cached=call.cached,
            repeated=call.repeated, note=made.note,
        )  # fmt: skip

    async def dry_run(self, name: str, arguments: Mapping[str, Any], asked: Asked, *, version: str = "") -> DryRun:
        """Say what would become of a call: nothing is called, recorded or counted."""
        spec, tool = await self._found(name, version)
        given = self._plain(spec, arguments)
        wanted = await self._wanted(spec, tool, given, asked)
        decision = self._explained(wanted)
        problem = ""
        try:
            if decision.effect != "deny":
                _examine(tool or await self._runnable(spec), given)
        except ToolError as exc:
            problem = f"{exc.code}: {exc.detail}"
        return DryRun(tool=spec.name, version=spec.version, decision=decision, problem=problem)

    async def wanted(self, name: str, arguments: Mapping[str, Any], asked: Asked, *, version: str = "") -> ToolCall:
        """Return a call as the policy would see it."""
        spec, tool = await self._found(name, version)
        given = self._plain(spec, arguments)
        return await self._wanted(spec, tool, given, asked)

    async def _ready(self, call: _Call, name: str, version: str, arguments: Mapping[str, Any]) -> _Ready:
        spec, tool = await self._found(name, version)
        call.id = spec.id
        given = self._plain(spec, arguments)
        wanted = await self._wanted(spec, tool, given, call.asked)
        decision = await self._policy.decide(wanted)
        if decision.effect == "deny":
            raise ToolError("denied", f"{spec.id}: the policy denies this call, by {decision.rule}: {decision.reason}")
        # Only now: what the tool takes, and which code runs, is for those who may call it.
        tool = tool or await self._runnable(spec)
        _examine(tool, given)
        return _Ready(tool, wanted, decision)

    async def _found(self, name: str, version: str) -> tuple[ToolSpec, Tool | None]:
        spec = await self._registry.get(name, version)
        tool = self._registry.runnable(spec.id)
        # What this process has declared counts, and not what the store says of it.
        return (tool.spec, tool) if tool is not None else (spec, None)

    async def _runnable(self, spec: ToolSpec) -> Tool:
        found = self._resolved.get(spec.id)
        if found is None or found.spec is not spec:
            found = await resolve(spec)
            if len(self._resolved) >= _MOST_RESOLVED:
                del self._resolved[next(iter(self._resolved))]
            self._resolved[spec.id] = found
        return found

    def _plain(self, spec: ToolSpec, arguments: object) -> dict[str, Any]:
        try:
            given, packed = plain(arguments)
        except NotPlain as exc:
            raise ToolError("invalid_arguments", f"the arguments of {spec.id} can't be used: {exc}") from None
        if not isinstance(given, dict):
            raise ToolError("invalid_arguments", f"the arguments of {spec.id} have names: give an object")
        if len(packed) > self._config.max_arguments:
            most = self._config.max_arguments
            raise ToolError(
                "too_large", f"the arguments of {spec.id} have {len(packed)} bytes, and {most} are the most"
            )
        return given

    async def _wanted(self, spec: ToolSpec, tool: Tool | None, arguments: Mapping[str, Any], asked: Asked) -> ToolCall:
        flags = None
        if asked.session and self._policy.reads_flags(spec.name, spec.version):
            flags = await self._flags(asked)
        return ToolCall(
            tool=spec.name, version=spec.version, callable=tool.callable if tool is not None else spec.callable,
            flags=spec.safety_flags, tags=spec.capabilities, arguments=arguments, principal=asked.principal,
            agent=asked.agent, session=asked.session, owner=asked.owner, session_flags=flags, audit=spec.audit,
        )  # fmt: skip

    async def _flags(self, asked: Asked) -> Flags | None:
        """Return the flags of a session; None, which the policy takes for a no, where they can't be read."""
        if self._sessions is None:
            return None
        with anyio.move_on_after(_FLAGS_LIMIT):
            try:
                session = await self._sessions.get(asked.session)
                # Another person's flags would say what this one hasn't.
                return flags_of(session) if session is not None and session.user == asked.owner else None
            except BaseException as exc:  # noqa: BLE001 - another plugin may provide it
                log.warning("flags of a session can't be read: %s", type(as_failure(exc)).__name__)
        return None

    def _explained(self, wanted: ToolCall) -> Decision:
        if self._explaining is None:
            return Decision(effect="deny", rule="policy", reason="no-policy", policy="")
        try:
            return self._explaining.explain(wanted).decision
        except BaseException as exc:  # noqa: BLE001 - another plugin may provide it
            as_failure(exc)
            return Decision(effect="deny", rule="policy", reason="failed", policy="")

    async def _limited(self, call: _Call, ready: _Ready) -> Made:
        spec, decision = ready.tool.spec, ready.decision
        with self._limiter.call(spec.name, call.asked.principal, decision.limits):
            if call.key:
                return await self._once(call, ready)
            if spec.idempotent and decision.effect == "allow":
                return await self._like_others(call, ready)
            return await self._make(call, ready)

    async def _once(self, call: _Call, ready: _Ready) -> Made:
        """Make a call under its key."""
        spec = ready.tool.spec
        made, call.repeated = await self._keeping.once(
            spec, call.key, _digest(ready), scope=call.asked.scope, owner=call.asked.owner,
            limit=self._maker.timeout(spec, ready.decision.limits), make=lambda: self._make(call, ready),
            was_made=lambda: call.called,
        )  # fmt: skip
        return made

    async def _like_others(self, call: _Call, ready: _Ready) -> Made:
        """Make a call whose result equal ones may have: those of the same person and session, if it isn't shared."""
        spec = ready.tool.spec
        scope = () if spec.shared else call.asked.scope
        place = digest("cached", spec.id, *scope, _digest(ready))
        if spec.cache_ttl is not None and (found := await self._keeping.found(spec, place)) is not None:
            call.cached = True
            await self._maker.tell(spec, found, call.asked.session, call.asked.owner)
            return found
        made, call.cached = await self._shared.call(place, lambda: self._make(call, ready))
        if call.cached:
            await self._maker.tell(spec, made, call.asked.session, call.asked.owner)
        elif spec.cache_ttl is not None:
            await self._keeping.put(spec, place, made, owner="" if spec.shared else call.asked.owner)
        return made

    async def _make(self, call: _Call, ready: _Ready) -> Made:
        if ready.decision.effect != "ask":
            return await self._made(call, ready)
        try:
            approval = await self._approvals.take(ready.wanted, ready.decision, _sorted(ready), call.key)
        except ToolStoreError as exc:
            what = f"{call.id}: whether a human has approved this call can't be looked up: {exc}"
            raise ToolError("unavailable", what) from exc
        try:
            return await self._made(call, ready)
        finally:
            if not call.called:
                with anyio.move_on_after(_GIVING_BACK, shield=True):
                    await self._approvals.give_back(approval)

    async def _made(self, call: _Call, ready: _Ready) -> Made:
        asked = call.asked
        return await self._maker.make(
            ready.tool, ready.decision.limits, ready.wanted.arguments, call, call.on_progress, session=asked.session,
            owner=asked.owner,
        )  # fmt: skip

    def _tell(self, call: _Call, code: str, seconds: float) -> None:
        self.statistics.note(call.id, code, at=time.time(), seconds=call.seconds, cached=call.cached)
        name, _, version = call.id.partition(":")
        asked = call.asked
        self._publish(
            ToolCalled(
                tool=name,
                version=version,
                code=code,
                seconds=seconds,
                cached=call.cached,
                agent=asked.agent,
                session=asked.session,
                owner=asked.owner,
            )
        )


def _examine(tool: Tool, arguments: Mapping[str, Any]) -> None:
    if not tool.arguments.fits(arguments):
        raise tool.arguments.error(arguments, "invalid_arguments", f"the arguments of {tool.spec.id}")


def _sorted(ready: _Ready) -> bytes:
    return encode_sorted(ready.wanted.arguments)


def _digest(ready: _Ready) -> str:
    return hashlib.sha256(_sorted(ready)).hexdigest()
