"""Asking a model where rules stand by: whatever goes wrong has a name, and comes in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
from msgspec import Struct

from tta_kernel import as_failure

from .errors import CODES, LlmError
from .model import ChatReply, ChatRequest, Piece
from .service import LanguageModel

Take = Callable[[str], Awaitable[bool]]
"""Takes the next piece of an answer; False where no more is wanted."""


class Unanswered(Exception):
    """A model gave nothing that can be used; ``why`` is an `LlmError`'s code, ``failed``, or a word of who asked."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Heard(Struct, frozen=True):
    """What became of an answer that was read piece by piece: ``why`` it broke off, empty where it didn't."""

    why: str = ""
    model: str = ""


def is_ready(llm: LanguageModel | None) -> bool:
    """Say whether there is a model to ask."""
    if llm is None:
        return False
    try:
        return llm.ready is True
    except BaseException as exc:  # noqa: BLE001 - a stranger's service: then rules must do
        as_failure(exc)
        return False


async def whole(llm: LanguageModel, request: ChatRequest, *, within: float) -> ChatReply:
    """Return a model's whole answer; raise `Unanswered` where there is none within so many seconds."""
    try:
        with anyio.move_on_after(within):
            reply = await llm.chat(request)
            return _checked(reply)
    except BaseException as exc:  # noqa: BLE001 - a stranger's service; its message may hold a person's text
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise Unanswered(_code(as_failure(exc))) from None
    raise Unanswered("timed_out")


async def piecewise(llm: LanguageModel, request: ChatRequest, take: Take, *, within: float) -> Heard:
    """Hand an answer on piece by piece while it is written; what ``take`` raises ends it, and is raised."""
    raised: BaseException | None = None
    limit = anyio.CancelScope(deadline=anyio.current_time() + within)
    try:
        with limit:
            async with llm.stream(request) as answer:
                async for piece in answer:
                    if (text := _text_of(piece)) is None:
                        return Heard("invalid_output")
                    try:
                        wants_more = await take(text)
                    except BaseException as exc:
                        raised = exc
                        raise
                    if not wants_more:
                        return Heard(model=request.model)
                reply = _checked(answer.reply)
            return Heard(model=reply.model)
    except BaseException as exc:  # noqa: BLE001 - a stranger's service; its message may hold a person's text
        await anyio.lowlevel.checkpoint_if_cancelled()
        if raised is not None and not limit.cancel_called:
            raise raised from None
        return Heard(_code(as_failure(exc)))
    return Heard("timed_out")


def _checked(reply: object) -> ChatReply:
    """Return what a service answered as the reply that it must be: its types are only promised."""
    if not isinstance(reply, ChatReply) or not _are_texts(reply.text, reply.model):
        raise Unanswered("invalid_output")
    return reply


def _text_of(piece: object) -> str | None:
    return piece.text if isinstance(piece, Piece) and _are_texts(piece.text) else None


def _are_texts(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _code(exc: Exception) -> str:
    match exc:
        case Unanswered():
            return exc.why
        case LlmError():
            return exc.code if exc.code in CODES else "failed"
        case TimeoutError():
            return "timed_out"
        case _:
            return "failed"
