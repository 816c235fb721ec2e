"""Agents served in this process: a call is awaited where it is made, and kept by its key."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from logging import Logger
from typing import Any

import anyio
import msgspec

from tta_kernel import Event

from .model import (
    Agent,
    AgentCalled,
    AgentCard,
    AgentDeregistered,
    AgentError,
    AgentId,
    AgentRegistered,
    AgentRegistry,
    OnPiece,
    Reply,
    Statistics,
    Undo,
)  # fmt: skip


class _Step:
    """The `StepContext` of one call."""

    def __init__(self, key: str, attempt: int, session: str, on_piece: OnPiece | None) -> None:
        self.key, self.attempt, self.session = key, attempt, session
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


class _Served:
    def __init__(self, id: AgentId, agent: Agent[Any, Any]) -> None:
        self.id, self.agent = id, agent
        self.calls = self.errors = self.timeouts = self.running = 0
        self.seconds: deque[float] = deque(maxlen=100)

    def statistics(self) -> Statistics:
        times = sorted(self.seconds)
        mean = sum(times) / len(times) if times else 0.0
        p95 = times[min(len(times) - 1, int(len(times) * 0.95))] if times else 0.0
        return Statistics(self.calls, self.errors, self.timeouts, self.running, mean, p95)


class LocalAgents:
    """Serves and calls agents of this process; replies are kept for ``window`` seconds, at most ``kept`` of them."""

    def __init__(
        self, registry: AgentRegistry, publish: Callable[[Event], None], log: Logger, *, window: float, kept: int
    ) -> None:
        self._registry, self._publish, self._log = registry, publish, log
        self._window, self._kept = window, kept
        self._served: dict[str, list[_Served]] = {}
        self._replies: OrderedDict[tuple[str, str], tuple[float, Reply]] = OrderedDict()
        self._locks: dict[tuple[str, str], anyio.Lock] = {}

    @asynccontextmanager
    async def serve(self, agent: Agent[Any, Any], *, instance: str | None = None) -> AsyncIterator[AgentId]:
        spec = agent.spec
        instance = instance or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        served = _Served(AgentId(spec.type, instance), agent)
        siblings = self._served.setdefault(spec.type, [])
        if any(other.id == served.id for other in siblings):
            raise ValueError(f"an agent {served.id} is served already; give it another instance name")
        card = AgentCard(served.id, spec.description, spec.capabilities, registered_at=time.time())
        await self._registry.register(card)
        siblings.append(served)
        self._publish(AgentRegistered(agent=card))
        try:
            yield served.id
        finally:
            siblings.remove(served)
            with anyio.move_on_after(2, shield=True):
                await self._registry.deregister(served.id)
            self._publish(AgentDeregistered(agent=served.id))

    async def call(
        self, agent: AgentId, request: msgspec.Struct | Mapping[str, Any], *, key: str, attempt: int = 1,
        session: str = "", on_piece: OnPiece | None = None,
    ) -> Reply:  # fmt: skip
        slot = (str(agent), key)
        lock = self._locks.setdefault(slot, anyio.Lock())
        try:
            async with lock:
                if reply := self._recall(slot):
                    text = _text(reply.output)
                    if on_piece is not None and text:
                        await on_piece(text)
                    return reply
                reply = await self._run(self._choose(agent), request, _Step(key, attempt, session, on_piece))
                self._keep(slot, reply)
                return reply
        finally:
            if not lock.locked():
                self._locks.pop(slot, None)

    def statistics(self) -> Mapping[str, Statistics]:
        return {str(s.id): s.statistics() for group in self._served.values() for s in group}

    def _choose(self, agent: AgentId) -> _Served:
        found = [s for s in self._served.get(agent.type, ()) if agent.instance in (None, s.id.instance)]
        if not found:
            raise AgentError("not_served", f"no running plugin serves {agent}", retryable=True)
        return min(found, key=lambda served: (served.running, served.calls))

    async def _run(self, served: _Served, request: Any, step: _Step) -> Reply:
        spec, started, code = served.agent.spec, time.perf_counter(), ""
        served.calls += 1
        served.running += 1
        try:
            decoded = self._decode(served, request)
            with anyio.move_on_after(spec.timeout) as scope:
                output = self._encode(served, await served.agent.process(decoded, step), step)
                return Reply(served.id, output, time.perf_counter() - started, tuple(step.undo))
            assert scope.cancelled_caught
            served.timeouts += 1
            raise AgentError("timeout", f"{served.id} took longer than {spec.timeout:g} s", retryable=True)
        except AgentError as exc:
            served.errors += 1
            code = exc.code
            raise
        except Exception as exc:  # noqa: BLE001 - a stranger's code; its message may hold a person's text
            served.errors += 1
            code, where = "failed", exc.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
            self._log.error("agent %s raised %s at %s", served.id, type(exc).__name__, line)
            raise AgentError("failed", f"{served.id} raised {type(exc).__name__}", retryable=True) from None
        finally:
            served.running -= 1
            seconds = time.perf_counter() - started
            served.seconds.append(seconds)
            self._publish(AgentCalled(agent=served.id, key=step.key, seconds=seconds, code=code))

    @staticmethod
    def _decode(served: _Served, request: Any) -> Any:
        # Through the wire's form, so that local and remote calls can't differ.
        try:
            return msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=served.agent.spec.input)
        except (msgspec.ValidationError, TypeError) as exc:
            raise AgentError("bad_request", f"for {served.id}, {_path(exc)}") from None

    @staticmethod
    def _encode(served: _Served, output: Any, step: _Step) -> Any:
        wanted = served.agent.spec.output
        if not isinstance(output, wanted):
            raise AgentError("bad_output", f"{served.id} answered {type(output).__name__}, not {wanted.__name__}")
        try:
            encoded = msgspec.msgpack.encode(output)
            # A frozen Struct checks nothing when it is built, so decode it as its reader would.
            msgspec.msgpack.decode(encoded, type=wanted)
        except (msgspec.ValidationError, TypeError, ValueError) as exc:
            raise AgentError("bad_output", f"of {served.id}, {_path(exc)}") from None
        builtins = msgspec.msgpack.decode(encoded)
        if step.pieces and "".join(step.pieces) != _text(builtins):
            raise AgentError("bad_output", f"{served.id} emitted pieces that are not its text")
        return builtins

    def _recall(self, slot: tuple[str, str]) -> Reply | None:
        kept_at, reply = self._replies.get(slot, (0.0, None))
        return reply if time.monotonic() - kept_at <= self._window else None

    def _keep(self, slot: tuple[str, str], reply: Reply) -> None:
        now = time.monotonic()
        self._replies[slot] = (now, reply)
        self._replies.move_to_end(slot)
        while len(self._replies) > self._kept or now - next(iter(self._replies.values()))[0] > self._window:
            self._replies.popitem(last=False)


def _text(output: Any) -> str:
    return str(output.get("text", "")) if isinstance(output, dict) else ""


def _path(exc: Exception) -> str:
    """Say where it doesn't fit, and not what stands there: it may be a person's text."""
    _, found, path = str(exc).partition(" - at `")
    return f"the field {path.rstrip('`')} does not fit" if found else "it does not fit its declared shape"
