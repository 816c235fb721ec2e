"""Agents served in this process: a call is awaited where it is made, and its reply kept by its key."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from logging import Logger
from typing import Any

import anyio
import msgspec

from tta_kernel import Event, as_failure, raised_at
from tta_kernel.errors import overdue

from .context import CallContext, text_of
from .memory import MemoryReplies
from .model import AgentCalled, AgentError, AgentId, AgentStatusChanged, RegistryError, Replies, Reply, Statistics
from .served import Served
from .turns import Turns

_LONGEST = 1000
"""How many characters of what an agent says of its failure travel to its caller."""


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
        self._shared: set[str] = set()  # types of which other processes call one
        self._turns = Turns()

    def add(self, served: Served) -> None:
        """Let ``served`` be chosen; a second one of its address is a ValueError."""
        siblings = self._served.setdefault(served.id.type, [])
        if any(other.id == served.id for other in siblings):
            raise ValueError(f"an agent {served.id} is served already; give it another instance name")
        siblings.append(served)
        self._note_shared(served.id.type)

    def remove(self, served: Served) -> None:
        """Let ``served`` be chosen no longer."""
        self._served[served.id.type].remove(served)
        self._note_shared(served.id.type)

    def _note_shared(self, type: str) -> None:
        if any(served.shared for served in self._served[type]):
            self._shared.add(type)
        else:
            self._shared.discard(type)

    def find(self, agent: AgentId) -> list[Served]:
        """Return what is served here under an address."""
        return [s for s in self._served.get(agent.type, ()) if agent.instance in (None, s.id.instance)]

    def statistics(self) -> Mapping[str, Statistics]:
        return {str(s.id): s.statistics() for group in self._served.values() for s in group}

    def degraded(self) -> int:
        """How many of those served here are degraded."""
        return sum(served.degraded for group in self._served.values() for served in group)

    def troubles(self) -> Mapping[str, str]:
        """Say of each that is degraded why, by its address."""
        return {str(s.id): s.trouble for group in self._served.values() for s in group if s.degraded}

    def publish_status(self, served: Served) -> None:
        """Publish the status, if it is another than was published last."""
        before, served.published = served.published, served.status
        if before != served.published:
            self._publish(AgentStatusChanged(agent=served.id, before=before, after=served.published))

    async def answer(
        self, agent: AgentId, request: Any, context: CallContext, *, by: Served | None = None
    ) -> tuple[Reply, bool]:
        """Return the reply, and whether it was kept from a call with that key; callers at once share one run."""
        slot = (agent.type, context.key, context.owner)
        await self._turns.take(slot)
        try:
            if (reply := self._replies.find(*slot)) is not None:
                return reply, True
            store = self._store if agent.type in self._shared else None
            if store is not None and (reply := await self._recall(store, *slot)) is not None:
                return reply, True
            reply = await self._run(by or self._choose(agent), request, context)
            kept = await self._keep(store, reply, context) if store is not None else None
            if kept is None:
                kept = self._replies.keep(agent.type, context.key, reply, self._window, context.owner)
            return kept, kept is not reply
        finally:
            self._turns.pass_on(slot)

    def _choose(self, agent: AgentId) -> Served:
        if not (found := self.find(agent)):
            raise AgentError("not_served", f"no running plugin serves {agent}", retryable=True)
        if len(found) == 1:
            return found[0]
        return min(found, key=lambda served: (served.degraded, served.running, served.calls))

    async def _run(self, served: Served, request: Any, context: CallContext) -> Reply:
        spec, listener = served.agent.spec, context.listener
        started, code = time.perf_counter(), "cancelled"
        served.calls += 1
        served.running += 1
        try:
            decoded = self._decode(served, request)
            with anyio.move_on_after(spec.timeout) as scope:
                listener.stop = scope.cancel
                listener.beat()
                answer = await _asked(served, decoded, context)
                if listener.failure is None:
                    output = self._encode(served, answer, context)
                    seconds = time.perf_counter() - started
                    code = ""
                    return Reply(served.id, output, seconds, tuple(context.undo), spec.version)
            if listener.failure is not None:
                raise listener.failure
            assert scope.cancelled_caught
            late = overdue(f"{served.id} took longer than {spec.timeout:g} s", spec.timeout)
            raise AgentError("timeout", str(late), retryable=True)
        except BaseException as exc:  # noqa: BLE001 - a stranger's code; its message may hold a person's text
            failure = as_failure(exc)  # It goes on where somebody of ours asked for it.
            error = listener.failure or (failure if isinstance(failure, AgentError) else self._blame(served, exc))
            code = error.code
            raise error from None
        finally:
            listener.stop = None
            seconds = time.perf_counter() - started
            # What its caller couldn't take is no fault of the agent.
            served.ended(seconds, "cancelled" if listener.failure is not None else code)
            # Idle and busy change with every call: these are published when the registry looks.
            if "degraded" in (served.status, served.published):
                self.publish_status(served)
            called = AgentCalled(
                agent=served.id, key=context.key, seconds=seconds, code=code, session=context.session,
                owner=context.owner,
            )  # fmt: skip
            self._publish(called)

    def _blame(self, served: Served, exc: BaseException) -> AgentError:
        name = type(exc).__name__
        self._log.error("agent %s raised %s at %s", served.id, name, raised_at(exc, type(served.agent).__module__))
        return AgentError("failed", f"{served.id} raised {name}", retryable=True)

    @staticmethod
    def _decode(served: Served, request: Any) -> Any:
        # Through the wire's form, so that local and remote calls can't differ.
        try:
            return msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=served.agent.spec.input)
        except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise AgentError("bad_request", f"for {served.id}, {_path(exc)}") from None

    @staticmethod
    def _encode(served: Served, output: Any, context: CallContext) -> Any:
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
        if context.pieces and "".join(context.pieces) != text_of(builtins):
            raise AgentError("bad_output", f"{served.id} emitted pieces that are not its text")
        return builtins

    async def forget(self, owner: str) -> int:
        """Delete a person's replies that only this process has."""
        return await self._replies.forget(owner)

    async def _recall(self, store: Replies, type: str, key: str, owner: str) -> Reply | None:
        try:
            return await store.get(type, key, owner)
        except RegistryError as exc:
            self._note_store_down(exc)
            return None

    async def _keep(self, store: Replies, reply: Reply, context: CallContext) -> Reply | None:
        """Return the first reply there is, since two processes may have worked at once; None where none is kept."""
        try:
            kept = await store.put(reply.agent.type, context.key, reply, self._window, context.owner)
        except RegistryError as exc:
            self._note_store_down(exc)
            return None
        self._store_down = False
        return kept

    def _note_store_down(self, exc: RegistryError) -> None:
        # To run twice does no harm, so a call is better answered than refused.
        if not self._store_down:
            self._log.warning("replies are kept in this process only, while their store doesn't keep them: %s", exc)
        self._store_down = True


def _path(exc: Exception) -> str:
    """Say where it doesn't fit, and not what stands there: it may be a person's text."""
    _, found, path = str(exc).partition(" - at `")
    if missing := re.search(r"missing required field `([^`]+)`", str(exc)):
        return f"the field {missing[1]} is missing" + (f" at {path.rstrip('`')}" if found else "")
    return f"the field {path.rstrip('`')} does not fit" if found else "it does not fit its declared shape"


async def _asked(served: Served, request: Any, context: CallContext) -> Any:
    """Let an agent answer; what it raises of its own is known as that from here on."""
    try:
        return await served.agent.process(request, context)
    except AgentError as exc:
        code, detail = getattr(exc, "code", ""), getattr(exc, "detail", "")
        raise AgentError(
            code if isinstance(code, str) else "", detail[:_LONGEST] if isinstance(detail, str) else "",
            retryable=getattr(exc, "retryable", False) is True, own=True,
        ) from None  # fmt: skip
