"""A model that says what a test wrote down; it exists nowhere else, so that no deployment takes it for one."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import anyio
from msgspec import Struct

from tta_breakers import Breakers
from tta_kernel import Event
from tta_llm.errors import LlmError
from tta_llm.llm import ChainedModels
from tta_llm.memory import MemoryBudgets
from tta_llm.model import Finish, ToolCall, Usage
from tta_llm.models import Delta, Embedded, ModelCall, ModelInfo, Models
from tta_llm.settings import Config
from tta_tools import Tools


class Says(Struct, frozen=True):
    """One answer: its pieces, and how it ends; with an ``error`` it breaks after them.

    Where ``then`` is given, it is awaited before the last of the pieces, so that a test can hold it there.
    """

    pieces: tuple[str, ...] = ()
    finish: Finish = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    error: LlmError | None = None
    then: Any = None


Script = str | Says | LlmError | Callable[[ModelCall], "str | Says | LlmError"]


class ScriptedModels:
    """Gives the answers of a script, one to each call, and remembers the ``calls``.

    A text is an answer in pieces of a word each; a function is told the call. After its end the last one is repeated.
    ``closed`` counts the answers whose generator was closed, read to the end or not.
    """

    def __init__(self, *script: Script, names: Sequence[str] = ("scripted/model",)) -> None:
        self._script = list(script) or ["Once upon a time."]
        self._names = names
        self.calls: list[ModelCall] = []
        self.closed = 0

    async def list(self) -> Sequence[ModelInfo]:
        return [ModelInfo(name) for name in self._names]

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta, None]:
        if call.model.startswith("nowhere/"):
            raise LlmError("invalid_request", "there is no endpoint `nowhere`", reached=False)
        said = self._script[min(len(self.calls), len(self._script) - 1)]
        self.calls.append(call)
        if callable(said):
            said = said(call)
        if isinstance(said, LlmError):
            raise said.again()
        says = said if isinstance(said, Says) else Says(tuple(said.replace(" ", " \0").split("\0")))
        try:
            for place, piece in enumerate(says.pieces, 1):
                if says.then is not None and place == len(says.pieces):
                    await says.then()
                await anyio.lowlevel.checkpoint()
                yield Delta(piece)
            if says.error is not None:
                raise says.error.again()
            finish: Finish = "tool" if says.tool_calls and says.finish == "stop" else says.finish
            yield Delta(tool_calls=says.tool_calls, finish=finish, usage=says.usage)
        finally:
            self.closed += 1

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        """Give each text a vector of its letters, so that equal ones are near and others aren't."""
        return Embedded([[float(text.count(letter)) for letter in "etaoinshrdlu"] for text in texts])


def scripted(
    *script: Script, config: Config | None = None, tools: Tools | None = None, breakers: Breakers | None = None,
    publish: Callable[[Event], None] = lambda event: None, models: Models | None = None,
) -> ChainedModels:  # fmt: skip
    """Return a language model that follows a script, or has the ``models`` of a backend, for tests without a kernel."""
    return ChainedModels(
        models or ScriptedModels(*script), MemoryBudgets(time.time), config or Config(),
        logging.getLogger("tta.llm"), clock=time.time, tools=tools, breakers=breakers, publish=publish,
    )  # fmt: skip
