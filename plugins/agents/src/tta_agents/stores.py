"""A registry or a store of replies, whoever wrote it: whatever it does instead of answering is a `RegistryError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args, get_type_hints

from tta_messages.guard import Check, Guarded

from .capabilities import Capability
from .model import AgentCard, AgentId, AgentRegistry, RegistryError, RegistrySnapshot, Replies, Reply, Undo

CALL_LIMIT = 15.0
"""How long, in seconds, any call may take: no client of a store waits for so long itself."""
_LARGEST = 2**63
"""Of what a store can hold as a number; larger ones don't divide."""
_STATUSES = get_args(get_type_hints(AgentCard)["status"])


def guard_registry(registry: AgentRegistry, *, limit: float = CALL_LIMIT) -> AgentRegistry:
    """Return ``registry`` such that each call ends within ``limit`` seconds, rightly or with a `RegistryError`.

    So whoever holds one treats a registry that is broken as one that is away, and goes on with all else. The error
    names it, and where in it something was raised, and quotes nothing.
    """
    return cast(AgentRegistry, _guarded(registry, _REGISTRY, limit))


def guard_replies(replies: Replies, *, limit: float = CALL_LIMIT) -> Replies:
    """Return ``replies`` as `guard_registry` does a registry."""
    return cast(Replies, _guarded(replies, _REPLIES, limit))


def _guarded(store: object, checks: Mapping[str, Check], limit: float) -> object:
    return store if isinstance(store, Guarded) else Guarded(store, checks, RegistryError, limit)


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


_REGISTRY: Mapping[str, Check] = {
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
_REPLIES: Mapping[str, Check] = {
    "get": lambda answer, type, *_: answer is None or _is_reply(answer, type),
    "put": lambda answer, type, *_: _is_reply(answer, type),
    "forget": lambda answer, *_: _is_count(answer) and not isinstance(answer, bool),
}
