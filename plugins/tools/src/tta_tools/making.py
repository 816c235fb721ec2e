"""The call itself: where a tool runs, within which limits, and whether what it returns may go on."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from tta_kernel import as_failure
from tta_tool_policy import Limits

from .declaring import OnProgress, Tool
from .isolated import InProcess
from .keeping import Made
from .model import NotCalled, Progress, ToolError, ToolSpec
from .plain import NotPlain, encode, plain, texts
from .runners import InThread, Job, Runner, in_loop
from .settings import Config

log = logging.getLogger("tta.tools")
_MOST_TO_CUT = 2**26
Check = Callable[[str, str, str], Awaitable[str]]
"""Says why a text may not reach the player of a session, by its owner: as a word, "" where it may."""


class Making(Struct):
    """What is known of a call while it is made."""

    called: bool = False
    """Whether the tool may have done something."""
    seconds: float | None = None
    """How long it worked."""


class Maker:
    """Calls tools, each in the place that it needs."""

    def __init__(self, config: Config, isolated: InProcess, check: Check) -> None:
        self._config, self._check = config, check
        self.in_thread = InThread()
        self.isolated = isolated

    def timeout(self, spec: ToolSpec, limits: Limits) -> float:
        """Return how many seconds a call may take: what the tool and the policy say, and the less of both."""
        said = [each for each in (spec.timeout, limits.timeout) if each is not None]
        return min(said, default=self._config.timeout)

    async def make(
        self, tool: Tool, limits: Limits, arguments: Any, making: Making, on_progress: OnProgress | None, *,
        session: str, owner: str,
    ) -> Made:  # fmt: skip
        """Call a tool once, and return what it came to, which fits its schema and may be told, if it is to be."""
        spec = tool.spec
        memory = _less(spec.memory, limits.memory)
        percent = _less(spec.cpu_percent, limits.cpu_percent)
        timeout = self.timeout(spec, limits)
        most = min(spec.max_output or self._config.max_output, self._config.max_output)
        job = Job(
            tool=spec.id, call=tool.call, reference=spec.reference, arguments=arguments, timeout=timeout, memory=memory,
            cpu=None if percent is None else timeout * percent / 100, flags=spec.safety_flags,
            # What is to be cut has to come whole first.
            output=most if spec.output == "refuse" else _MOST_TO_CUT,
        )  # fmt: skip
        alone = spec.isolation == "process" or memory is not None or percent is not None
        runner: Runner = self.isolated if alone else in_loop if tool.is_async else self.in_thread
        value, text = _plain(spec, await self._run(runner, job, spec, making, on_progress))
        note = ""
        if len(text) > most:
            value, text, note = _cut(spec, value, len(text), most)
        if not tool.result.fits(value):
            raise tool.result.error(value, "invalid_result", f"the result of {spec.id}")
        made = Made(value, text, note)
        await self.tell(spec, made, session, owner)
        return made

    async def tell(self, spec: ToolSpec, made: Made, session: str, owner: str) -> None:
        """Return if a result may go on; raise a `ToolError` where it is to be told, and may not be."""
        if not spec.told or not (said := texts(made.value)):
            return
        if why := await self._check("\n".join(said), session, owner):
            raise ToolError("denied", f"{spec.id}: its result may not reach a player, as it is {why}")

    async def _run(
        self, runner: Runner, job: Job, spec: ToolSpec, making: Making, on_progress: OnProgress | None
    ) -> Any:
        making.called = True
        begun = time.perf_counter()
        try:
            return await runner(job, _harmless(spec, on_progress) if on_progress is not None else _ignore)
        except NotCalled as exc:
            making.called = False
            raise exc.again() from exc.__cause__
        except ToolError as exc:
            if exc.code in ("failed", "timed_out"):
                raise exc.again(retryable=spec.idempotent) from exc.__cause__
            raise
        finally:
            if making.called:
                making.seconds = time.perf_counter() - begun


def _plain(spec: ToolSpec, result: Any) -> tuple[Any, bytes]:
    if inspect.iscoroutine(result):
        result.close()
        raise ToolError("invalid_result", f"{spec.id} returned a coroutine: its function is to be `async def`")
    try:
        return plain(result)
    except NotPlain as exc:
        raise ToolError("invalid_result", f"the result of {spec.id} can't be used: {exc}") from None


def _cut(spec: ToolSpec, value: Any, length: int, most: int) -> tuple[Any, bytes, str]:
    """Return as much of a text or a list as fits, and say so; what can't be cut, or isn't to be, is an error."""
    if spec.output == "refuse" or not isinstance(value, str | list):
        hint = "; a text or a list can be cut, if the tool says `output: cut`" if spec.output == "refuse" else ""
        raise ToolError("too_large", f"the result of {spec.id} has {length} bytes, and {most} are the most{hint}")
    fits, too_many = 0, len(value)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if len(encode(value[:middle])) <= most:
            fits = middle
        else:
            too_many = middle
    what = "characters" if isinstance(value, str) else "entries"
    cut = value[:fits]
    return cut, encode(cut), f"cut to {fits} of {len(value)} {what}"


def _less(one: int | None, other: int | None) -> int | None:
    said = [each for each in (one, other) if each is not None]
    return min(said, default=None)


def _ignore(progress: Progress) -> None:
    """Nobody asked."""


def _harmless(spec: ToolSpec, on_progress: OnProgress) -> OnProgress:
    """Return what tells a stranger how far a call has come, and goes on whatever that does."""

    def told(progress: Progress) -> None:
        try:
            on_progress(progress)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            log.warning("telling how far %s is raised %s", spec.id, type(as_failure(exc)).__name__)

    return told
