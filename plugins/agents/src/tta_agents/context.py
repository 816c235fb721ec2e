"""What an agent sees of one call, and what it says while it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model import AgentId, OnPiece, Undo


class CallContext:
    """The `StepContext` of one call; ``owner`` is the person whose data it carries."""

    def __init__(self, key: str, attempt: int, session: str, on_piece: OnPiece | None, owner: str) -> None:
        self.key, self.attempt, self.session, self.owner = key, attempt, session, owner
        self.pieces: list[str] = []
        self.undo: list[Undo] = []
        self._on_piece = on_piece

    async def emit(self, text: str) -> None:
        self.pieces.append(text)
        if self._on_piece is not None:
            await self._on_piece(text)

    def heartbeat(self) -> None:
        # Nobody waits for it: a call is held for as long as its process lives, and bounded by time limits alone.
        pass

    def on_rollback(self, agent: AgentId, arguments: Mapping[str, Any]) -> None:
        self.undo.append(Undo(agent, dict(arguments)))


def text_of(output: Any) -> str:
    """Return the text of an output, which is what its pieces join to."""
    return str(output.get("text", "")) if isinstance(output, dict) else ""
