"""Every error the kernel raises on purpose, and the problem that an operator can mend."""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from traceback import walk_tb
from typing import Any

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a deployment: where it is, what it is, and the way out.

    ``deployment_only`` marks what can be judged only where the real secrets and rosters lie;
    ``tta check --no-secrets`` leaves these out. A ``note`` is told, and keeps nothing from starting. ``plugin`` is
    whose fault it is, where that isn't the one that says so: then that one can't be used.
    """

    where: str
    what: str
    hint: str = ""
    deployment_only: bool = False
    note: bool = False
    plugin: str = ""

    def __str__(self) -> str:
        return f"{'note: ' if self.note else ''}{self.where}: {self.what}" + (f"; {self.hint}" if self.hint else "")


class KernelError(Exception):
    """Catch this to catch anything that the kernel raises on purpose."""

    problems: Sequence[Problem] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # For copies and other processes: not through ``__init__``, which takes what the message is made of.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigError(KernelError):
    """The configuration files, or the environment, hold what cannot be used.

    ``problems`` lists everything that was found, not just the first.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class PluginError(KernelError):
    """One plugin could not be imported, wired, started or kept running."""

    def __init__(self, plugin: str, reason: str, *, hint: str = "") -> None:
        self.plugin, self.reason = plugin, reason
        self.problems = (Problem(f"plugin {plugin!r}", reason, hint),)
        super().__init__(str(self.problems[0]))


class NotReady(KernelError):
    """Raised in a lifespan by an optional plugin that should be tried again later."""


delays: ContextVar[Callable[[float], str]] = ContextVar("delays", default=lambda seconds: "")
"""Says what blocked the event loop within the last seconds (``…: ``), where somebody watches it."""


def overdue(what: str, seconds: float) -> TimeoutError:
    """Return the error of what took longer than ``seconds``; what blocked the event loop meanwhile comes first."""
    return TimeoutError(delays.get()(seconds) + what)


def raised_at(exc: BaseException, module: str = "") -> str:
    """Return ``file:line``, for logs that may not quote what an exception says: it may be a person's text.

    It is the innermost place in the package of ``module``, else in what is neither the kernel nor Python's own library,
    which nobody has to mend; the call where there is none.
    """
    places = {}
    for frame, line in walk_tb(exc.__traceback__):
        name = str(frame.f_globals.get("__name__"))
        package = name.partition(".")[0]
        if package not in sys.stdlib_module_names and name.rpartition(".")[0] != __package__:
            places[package == module.partition(".")[0]] = f"{frame.f_code.co_filename}:{line}"
    return places.get(True) or places.get(False, f"{module and 'the call of '}{module or '?'}")
