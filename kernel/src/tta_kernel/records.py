"""What operators see of each installed plugin: its state, since when, and why."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from time import time
from typing import Any

from .discovery import Found
from .errors import KernelError, PluginError, Problem
from .isolation import describe
from .plugin import Plugin


class State(enum.StrEnum):
    """What a plugin is doing.

    ``YIELDING``: a fallback whose place another plugin takes. ``SKIPPED``: it could run, but the ``tta …``
    command that this kernel is for doesn't require it.
    """

    DISABLED = "disabled"
    YIELDING = "yielding"
    SKIPPED = "skipped"
    READY = "ready"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Record:
    """One installed plugin.

    ``plugin`` is None where it is disabled, yields, or can't be used. It is ``vital`` if it is required, or something
    that is required needs it; what it requires itself comes from its ``needs``. ``problems`` are wrong with itself;
    ``causes`` are other plugins for want of which it can't be used, ``consequences`` those of which it is a cause.
    """

    def __init__(self, found: Found, *, required: bool) -> None:
        self.name = found.name
        self.found = found
        self.required = required
        self.cls: type[Plugin[Any]] = Plugin  # until its own is imported
        self.plugin: Plugin[Any] | None = None
        self.vital = required
        self.yields_to = ""
        self.needs = frozenset[str]()
        self.problems: list[Problem] = []
        self.causes: list[Record] = []
        self.consequences: list[Record] = []
        self.state = State.READY
        self.reason = ""
        self.since = time()

    @property
    def imported(self) -> bool:
        """Whether its class is known."""
        return self.cls is not Plugin

    @property
    def usable(self) -> bool:
        """Whether there is an instance of it, running or not."""
        return self.plugin is not None

    @property
    def running(self) -> bool:
        """Whether its lifespan has started, and does not stop yet."""
        return self.state is State.RUNNING

    def change_to(self, state: State, reason: str = "") -> None:
        """Change the state; the first reason of a failure stays."""
        self.state = state
        self.since = time()
        if reason or state is not State.FAILED:
            self.reason = reason

    def rule_out(self, error: Exception) -> None:
        """Note that it can't be used, because of what is wrong with itself."""
        if not isinstance(error, KernelError) or not error.problems:
            error = PluginError(self.name, f"could not be made: {describe(error, self.cls.__module__)}")
        self.problems += error.problems
        self.change_to(State.FAILED, str(self.problems[0]))

    def miss(self, other: Record, what: str) -> None:
        """Note that it can't be used for want of another plugin, or of what that one misses."""
        for cause in other.causes or [other]:
            if self not in cause.consequences:
                cause.consequences.append(self)
                self.causes.append(cause)
        self.change_to(State.FAILED, f"{what}, which {other.trouble()}")

    def trouble(self) -> str:
        """Say why others have to do without it."""
        return "can't be used" if self.state is State.FAILED else f"is {self.state}"


def findings(records: Iterable[Record], *, vital: bool) -> list[Problem]:
    """Return what is wrong, each cause before what follows from it, which one line tells.

    With ``vital`` it is what concerns a required plugin, and otherwise the rest.
    """
    found: list[Problem] = []
    for cause in records:
        lost = sorted(cause.consequences, key=lambda it: it.name)
        concerned = [*lost, cause] if cause.problems else lost
        if any(it.required for it in concerned) is not vital:
            continue
        found += cause.problems
        if not lost:
            continue
        # One line tells which plugins can't be used because of this one.
        who, what = lost[0].name, lost[0].reason
        if len(lost) > 1:
            names = ", ".join(it.name for it in lost)
            who, what = cause.name, f"{cause.trouble()}, and {len(lost)} that need it can't run: {names}"
        hint = ""
        if not cause.problems:  # Else each of them has said what to do.
            hint = f"enable it{cause.reason and f' ({cause.reason})'}, or disable what needs it"
        deployment_only = not hint and all(it.deployment_only for it in cause.problems)
        found.append(Problem(f"plugin {who!r}", what, hint, deployment_only))
    return found
