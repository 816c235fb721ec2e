"""What strangers raise."""

from __future__ import annotations

from asyncio import CancelledError  # noqa: TID251 - on every event loop: a library may be written for another
from collections.abc import Callable, Mapping

from tta_kernel.errors import ConfigError, KernelError, NotReady


class Unprintable(Exception):
    """An error that raises when it is shown."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Exiting(Exception):
    """An error that exits when it is shown."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class Odd(BaseException):
    """An error that is no `Exception`."""


def _circular() -> BaseException:
    first, second = ValueError("odd"), KeyError("odd")
    first.__cause__, second.__cause__ = second, first
    first.__context__, second.__context__ = second, first
    return first


_SAME = ValueError("the same")

RAISED: Mapping[str, Callable[[], BaseException]] = {
    "an error": lambda: ValueError("odd"),
    "an error without a text": ValueError,
    "an error of text that no stream can encode": lambda: ValueError("\ud800 \x1b[2J \x00\r\n"),
    "an error whose text raises": Unprintable,
    "an error whose text exits": Exiting,
    "an error in a circle of causes": _circular,
    "the same error each time": lambda: _SAME.with_traceback(None),  # else with the frames of whatever raised it before
    "an error of the kernel": lambda: KernelError("odd"),
    "an error of config without a problem": ConfigError,
    "a time-out of its own": lambda: TimeoutError("odd"),
    "a RecursionError": lambda: RecursionError("odd"),
    "a StopIteration": StopIteration,
    "a StopAsyncIteration": StopAsyncIteration,
    "a group of errors": lambda: ExceptionGroup("odd", [ValueError("odd"), NotReady("odd")]),
    "a group with an exit in it": lambda: BaseExceptionGroup("odd", [SystemExit(3), ValueError("odd")]),
    "a group of cancellations": lambda: BaseExceptionGroup("odd", [CancelledError(), CancelledError()]),
    "a cancellation that nobody asked for": CancelledError,
    "SystemExit": lambda: SystemExit(0),
    "GeneratorExit": GeneratorExit,
    "a BaseException of its own": lambda: Odd("odd"),
}
"""By what it is, something that is a stranger's own failure."""

INTERRUPTS: Mapping[str, Callable[[], BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "a group with KeyboardInterrupt in it": lambda: BaseExceptionGroup("odd", [KeyboardInterrupt(), ValueError()]),
}
"""By what it is, something that ends the program in order."""
