"""Agents served in this process: a call is awaited where it is made, and its reply kept by its key."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from logging import Logger
from typing import Any, Literal

import anyio
import msgspec

from tta_kernel import Event, raised_at

from .memory import MemoryReplies
from .model import (
    Agent,
    AgentCalled,
    AgentError,
    AgentId,
    AgentStatusChanged,
    OnPiece,
    RegistryError,
    Replies,
    Reply,
    Statistics,
    Undo,
)  # fmt: skip

Status = Literal["idle", "busy", "degraded"]
_OWN_FAULTS = frozenset({"failed", "timeout", "bad_output"})


class Step:
    """The `StepContext` of one call; ``owner`` is the person whose data it carries."""

    def __init__(self, key: str, attempt: int, session: str, on_piece: OnPiece | None, owner: str) -> None:
        self.key, self.attempt, self.session, self.owner = key, attempt, session, owner
        self.pieces: list[str] = []
        self.undo: list[Undo] = []
        self.alive_at = time.monotonic()
        self._on_piece = on_piece

    async def emit(self, text: str) -> None:
        self.pieces.append(text)
        if self._on_piece is not None:
            await self._on_piece(text)

    def heartbeat(self) -> None:
        self.alive_at = time.monotonic()

    def on_rollback(self, agent: AgentId, arguments: Mapping[str, Any]) -> None:
        self.undo.append(Undo(agent, dict(arguments)))


class Served:
    """One instance, and how it does; ``shared`` says that other processes call it, ``limit`` how often at once.

    After ``degraded_after`` calls in a row that failed by its own fault it is degraded: until one
    succeeds, or for ``degraded_for`` seconds, since nobody may dare to call it meanwhile.
    """

    def __init__(self, id: AgentId, agent: Agent[Any, Any], *, shared: bool = False, limit: int = 0) -> None:
        self.id, self.agent, self.shared, self.limit = id, agent, shared, limit
        self.resources: Mapping[str, Any] = {}
        self.degraded_after, self.degraded_for = 5, 30.0
        self.since = time.time()
        self.taken = 0
        self.told: Status = "idle"
        self.calls = self.errors = self.timeouts = self.running = 0
        self.seconds: deque[float] = deque(maxlen=100)
        self._faults, self._faulty_at = 0, 0.0

    @property
    def status(self) -> Status:
        if self._faults >= self.degraded_after and time.monotonic() - self._faulty_at < self.degraded_for:
            return "degraded"
        return "busy" if self.running else "idle"

    def ended(self, seconds: float, code: str) -> None:
        """Count a call that came to ``code``, an empty one where to an answer."""
        self.running -= 1
        self.seconds.append(seconds)
        self.timeouts += code == "timeout"
        self.errors += code not in ("", "cancelled")
        if code in _OWN_FAULTS:
            self._faults, self._faulty_at = self._faults + 1, time.monotonic()
        elif not code:
            self._faults = 0

    def statistics(self) -> Statistics:
        times = sorted(self.seconds)
        mean = sum(times) / len(times) if times else 0.0
        p95 = times[min(len(times) - 1, int(len(times) * 0.95))] if times else 0.0
        return Statistics(self.calls, self.errors, self.timeouts, self.running, mean, p95)


class LocalAgents:
    """Runs agents of this process; replies are kept for ``window`` seconds, those of shared agents in ``store``.

    What ``store`` keeps is kept nowhere else, so that it is forgotten for all processes at once.
    """

    def __init__(
        self, publish: Callable[[Event], None], log: Logger, *, window: float, kept: int, store: Replies | None = None
    ) -> None:
        self._publish, self._log, self._window = publish, log, window
        self._replies, self._store = MemoryReplies(kept), store
        self._store_down = False
        self._served: dict[str, list[Served]] = {}
        self._locks: dict[tuple[str, str, str], anyio.Lock] = {}

    def add(self, served: Served) -> None:
        """Let ``served`` be chosen; a second one of its address is a ValueError."""
        siblings = self._served.setdefault(served.id.type, [])
        if any(other.id == served.id for other in siblings):
            raise ValueError(f"an agent {served.id} is served already; give it another instance name")
        siblings.append(served)

    def remove(self, served: Served) -> None:
        """Let ``served`` be chosen no longer."""
        self._served[served.id.type].remove(served)

    def find(self, agent: AgentId) -> list[Served]:
        """Return what is served here under an address."""
        return [s for s in self._served.get(agent.type, ()) if agent.instance in (None, s.id.instance)]

    def statistics(self) -> Mapping[str, Statistics]:
        return {str(s.id): s.statistics() for group in self._served.values() for s in group}

    def tell(self, served: Served) -> None:
        """Publish the status, if it is another than was told last."""
        before, served.told = served.told, served.status
        if before != served.told:
            self._publish(AgentStatusChanged(agent=served.id, before=before, after=served.told))

    async def answer(self, agent: AgentId, request: Any, step: Step, *, by: Served | None = None) -> tuple[Reply, bool]:
        """Return the reply, and whether it was kept from a call with that key; callers at once share one run."""
        slot = (agent.type, step.key, step.owner)
        lock = self._locks.setdefault(slot, anyio.Lock())
        try:
            async with lock:
                shared = any(served.shared for served in self._served.get(agent.type, ()))
                if reply := await self._recall(*slot, shared=shared):
                    return reply, True
                reply = await self._run(by or self._choose(agent), request, step)
                return await self._keep(*slot, reply, shared=shared)
        finally:
            if not lock.locked():
                self._locks.pop(slot, None)

    def _choose(self, agent: AgentId) -> Served:
        if not (found := self.find(agent)):
            raise AgentError("not_served", f"no running plugin serves {agent}", retryable=True)
        return min(found, key=lambda served: (served.status == "degraded", served.running, served.calls))

    async def _run(self, served: Served, request: Any, step: Step) -> Reply:
        spec, started, code = served.agent.spec, time.perf_counter(), "cancelled"
        served.calls += 1
        served.running += 1
        try:
            decoded = self._decode(served, request)
            with anyio.move_on_after(spec.timeout) as scope:
                output = self._encode(served, await served.agent.process(decoded, step), step)
                reply = Reply(served.id, output, time.perf_counter() - started, tuple(step.undo))
                code = ""
                return reply
            assert scope.cancelled_caught
            raise AgentError("timeout", f"{served.id} took longer than {spec.timeout:g} s", retryable=True)
        except AgentError as exc:
            code = exc.code
            raise
        except Exception as exc:  # noqa: BLE001 - a stranger's code; its message may hold a person's text
            code = "failed"
            self._log.error("agent %s raised %s at %s", served.id, type(exc).__name__, raised_at(exc))
            raise AgentError("failed", f"{served.id} raised {type(exc).__name__}", retryable=True) from None
        finally:
            seconds = time.perf_counter() - started
            served.ended(seconds, code)
            if "degraded" in (served.status, served.told):  # The rest is told when somebody looks.
                self.tell(served)
            self._publish(AgentCalled(agent=served.id, key=step.key, seconds=seconds, code=code))

    @staticmethod
    def _decode(served: Served, request: Any) -> Any:
        # Through the wire's form, so that local and remote calls can't differ.
        try:
            return msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=served.agent.spec.input)
        except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise AgentError("bad_request", f"for {served.id}, {_path(exc)}") from None

    @staticmethod
    def _encode(served: Served, output: Any, step: Step) -> Any:
        wanted = served.agent.spec.output
        if not isinstance(output, wanted):
            raise AgentError("bad_output", f"{served.id} answered {type(output).__name__}, not {wanted.__name__}")
        try:
            encoded = msgspec.msgpack.encode(output)
            # A frozen Struct checks nothing when it is built, so decode it as its reader would.
            msgspec.msgpack.decode(encoded, type=wanted)
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise AgentError("bad_output", f"of {served.id}, {_path(exc)}") from None
        builtins = msgspec.msgpack.decode(encoded)
        if step.pieces and "".join(step.pieces) != text_of(builtins):
            raise AgentError("bad_output", f"{served.id} emitted pieces that are not its text")
        return builtins

    async def forget(self, owner: str) -> int:
        """Delete a person's replies that only this process has."""
        return await self._replies.forget(owner)

    async def _recall(self, type: str, key: str, owner: str, *, shared: bool) -> Reply | None:
        reply = await self._replies.get(type, key, owner)
        if reply is None and shared and self._store is not None:
            try:
                reply = await self._store.get(type, key, owner)
            except RegistryError as exc:
                self._without(exc)
        return reply

    async def _keep(self, type: str, key: str, owner: str, reply: Reply, *, shared: bool) -> tuple[Reply, bool]:
        """Keep the first reply there is, and return that one: two processes may have worked at once."""
        if shared and self._store is not None:
            try:
                kept = await self._store.put(type, key, reply, self._window, owner)
                self._store_down = False
                return kept, kept is not reply
            except RegistryError as exc:
                self._without(exc)
        kept = await self._replies.put(type, key, reply, self._window, owner)
        return kept, kept is not reply

    def _without(self, exc: RegistryError) -> None:
        # To run twice does no harm, so a call is better answered than refused.
        if not self._store_down:
            self._log.warning("replies are kept in this process only, while their store doesn't keep them: %s", exc)
        self._store_down = True


def text_of(output: Any) -> str:
    """Return the text of an output, which is what its pieces join to."""
    return str(output.get("text", "")) if isinstance(output, dict) else ""


def _path(exc: Exception) -> str:
    """Say where it doesn't fit, and not what stands there: it may be a person's text."""
    _, found, path = str(exc).partition(" - at `")
    if missing := re.search(r"missing required field `([^`]+)`", str(exc)):
        return f"the field {missing[1]} is missing" + (f" at {path.rstrip('`')}" if found else "")
    return f"the field {path.rstrip('`')} does not fit" if found else "it does not fit its declared shape"
