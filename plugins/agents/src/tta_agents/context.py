"""What an agent sees of one call, and what it says while it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .listener import Listener
from .model import AgentError, AgentId, Undo


class CallContext:
    """The `StepContext` of one call, whose ``listener`` is told what the agent says of its work."""

    def __init__(self, key: str, attempt: int, session: str, owner: str, released: str, listener: Listener) -> None:
        self.key, self.attempt, self.session, self.owner = key, attempt, session, owner
        self.released, self.listener = released, listener
        self.pieces: list[str] = []
        self.undo: list[Undo] = []

    async def emit(self, text: str) -> None:
        self.pieces.append(text)
        await self.listener.piece(text)

    def heartbeat(self) -> None:
        self.listener.beat()

    async def on_rollback(self, agent: AgentId, arguments: Mapping[str, Any]) -> None:
        try:
            # As its reader will have it, wherever that is, and whatever the agent does to its arguments afterwards.
            encoded = msgspec.msgpack.encode(Undo(agent, arguments, len(self.undo)))
            undo = msgspec.msgpack.decode(encoded, type=Undo)
        except (msgspec.DecodeError, TypeError, ValueError, OverflowError, RecursionError):
            raise AgentError("bad_output", "what takes its effect back cannot travel") from None
        self.undo.append(undo)
        await self.listener.undo(undo)


def text_of(output: Any) -> str:
    """Return the text of an output, which is what its pieces join to."""
    return str(output.get("text", "")) if isinstance(output, dict) else ""
