"""A registry or a store of replies, whoever wrote it: whatever it does instead of answering is a `RegistryError`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast, get_args, get_type_hints

import anyio

from tta_kernel import as_failure, check_duration, raised_at

from .capabilities import Capability
from .model import AgentCard, AgentId, AgentRegistry, RegistryError, RegistrySnapshot, Replies, Reply, Undo

CALL_LIMIT = 15.0
"""How long, in seconds, any call may take: no client of a store waits for so long itself."""
_LARGEST = 2**63
"""Of what a store can hold as a number; larger ones don't divide."""
_STATUSES = get_args(get_type_hints(AgentCard)["status"])
_Check = Callable[..., bool]
"""Says whether an answer is right; it is told the arguments, too."""


def guard_registry(registry: AgentRegistry, *, limit: float = CALL_LIMIT) -> AgentRegistry:
    """Return ``registry`` such that each call ends within ``limit`` seconds, rightly or with a `RegistryError`.

    So whoever holds one treats a registry that is broken as one that is away, and goes on with all else. The error
    names it, and where in it something was raised, and quotes nothing.
    """
    return cast(AgentRegistry, _guarded(registry, _REGISTRY, limit))


def guard_replies(replies: Replies, *, limit: float = CALL_LIMIT) -> Replies:
    """Return ``replies`` as `guard_registry` does a registry."""
    return cast(Replies, _guarded(replies, _REPLIES, limit))


def _guarded(store: object, checks: Mapping[str, _Check], limit: float) -> object:
    check_duration("limit", limit, positive=True)
    return store if isinstance(store, _Guarded) else _Guarded(store, checks, limit)


class _Guarded:
    def __init__(self, store: object, checks: Mapping[str, _Check], limit: float) -> None:
        self._store, self._checks, self._limit = store, checks, limit
        self._name = f"{type(store).__module__}.{type(store).__qualname__}"

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name not in self._checks:
            raise AttributeError(name)
        is_right = self._checks[name]
        what = f"{self._name}.{name}"

        async def call(*args: Any, **kwargs: Any) -> Any:
            error = None
            with anyio.CancelScope(deadline=anyio.current_time() + self._limit):
                try:
                    answer = await getattr(self._store, name)(*args, **kwargs)
                    if is_right(answer, *args):
                        return answer
                    error = RegistryError(f"{what} answered with {type(answer).__name__} that is wrong")
                except BaseException as exc:
                    failure = as_failure(exc)
                    if isinstance(failure, RegistryError):
                        raise
                    error = RegistryError(f"{what} raised {type(exc).__name__} at {raised_at(exc)}")
                    error.__cause__ = failure
            raise error or RegistryError(f"{what} did not answer within {self._limit:g} s")

        # Looked up once for each method.
        setattr(self, name, call)
        return call


def _is_a(value: Any, kind: type[Any]) -> bool:
    """Say whether it is one, and let the type checker believe nothing of its fields."""
    return isinstance(value, kind)


def _is_id(value: Any) -> bool:
    return _is_a(value, AgentId) and isinstance(value.type, str) and isinstance(value.instance, str | None)


def _is_card(card: Any) -> bool:
    """Look at each field that somebody counts on: nothing is checked when a Struct is built.

    By hand, since it is asked of each agent in the deployment once a second: `tta_kernel.shapes.fits` takes 40 times as
    long.
    """
    return (
        _is_a(card, AgentCard)
        and _is_id(card.id)
        and isinstance(card.description, str)
        and isinstance(card.capabilities, tuple)
        and all(isinstance(each, Capability) for each in card.capabilities)
        and card.status in _STATUSES
        and isinstance(card.process, str)
        and isinstance(card.agent_version, str)
        and isinstance(card.resources, Mapping)
        and isinstance(card.shared, bool)
        and _is_count(card.running)
        and _is_count(card.limit)
        and _is_number(card.registered_at)
        and _is_number(card.seen_at)
        and _is_number(card.timeout)
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _LARGEST


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST)


def _are_cards(answer: Any, type: str | None = None) -> bool:
    if not isinstance(answer, Sequence) or isinstance(answer, str | bytes):
        return False
    return all(_is_card(card) and type in (None, card.id.type) for card in answer)


def _is_reply(reply: Any, type: str) -> bool:
    return (
        _is_a(reply, Reply)
        and _is_id(reply.agent)
        and reply.agent.type == type
        and _is_number(reply.seconds)
        and isinstance(reply.agent_version, str)
        and isinstance(reply.undo, tuple)
        and all(map(_is_undo, reply.undo))
    )


def _is_undo(undo: Any) -> bool:
    return (
        _is_a(undo, Undo)
        and _is_id(undo.agent)
        and isinstance(undo.arguments, Mapping)
        and _is_count(undo.number)
    )  # fmt: skip


_REGISTRY: Mapping[str, _Check] = {
    "register": lambda answer, *_: True,  # Nobody looks at it.
    "deregister": lambda answer, *_: isinstance(answer, bool),
    "get": lambda answer, id: answer is None or (_is_card(answer) and answer.id == id),
    "list": _are_cards,
    "discover": _are_cards,
    "snapshot": lambda answer: (
        isinstance(answer, RegistrySnapshot) and _are_cards(answer.local) and _are_cards(answer.remote)
    ),
    "state": lambda answer, id: isinstance(answer, bytes | None),
    "refuse_state": lambda answer, *_: True,
}
_REPLIES: Mapping[str, _Check] = {
    "get": lambda answer, type, *_: answer is None or _is_reply(answer, type),
    "put": lambda answer, type, *_: _is_reply(answer, type),
    "forget": lambda answer, *_: _is_count(answer) and not isinstance(answer, bool),
}
