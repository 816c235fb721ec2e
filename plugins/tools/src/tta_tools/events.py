"""What is told of tools after the fact: names, codes and numbers, never an argument or a result."""

from __future__ import annotations

from typing import ClassVar

from tta_kernel import Event


class ToolCalled(Event, frozen=True, tag="tools.called"):
    """A call has ended; ``code`` is empty where it came to a result. One without an owner is for operators."""

    __shown__: ClassVar = ("tool", "version", "code")

    tool: str
    version: str
    code: str
    seconds: float
    cached: bool = False
    agent: str = ""
    session: str = ""
    owner: str = ""


class ToolRegistered(Event, frozen=True, tag="tools.registered"):
    """A tool, or a new version of one, is there."""

    __shown__: ClassVar = ("tool", "version")

    tool: str
    version: str
    by: str = ""


class ToolDeprecated(Event, frozen=True, tag="tools.deprecated"):
    """Nobody is given this version any more who doesn't ask for it."""

    __shown__: ClassVar = ("tool", "version")

    tool: str
    version: str


class ToolApprovalAsked(Event, frozen=True, tag="tools.approval-asked"):
    """A call waits for a human's leave."""

    __shown__: ClassVar = ("approval", "tool", "version", "rule")

    approval: str
    tool: str
    version: str
    rule: str
    expires_at: float
    agent: str = ""
    session: str = ""
    owner: str = ""


class ToolApprovalDecided(Event, frozen=True, tag="tools.approval-decided"):
    """A human has said yes or no to a call."""

    __shown__: ClassVar = ("approval", "tool", "version", "approved")

    approval: str
    tool: str
    version: str
    approved: bool
    by: str
    session: str = ""
    owner: str = ""
