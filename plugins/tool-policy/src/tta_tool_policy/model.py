"""A call of a tool as a policy sees it, and what a policy says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from tta_http import ANONYMOUS, Principal
from tta_kernel import Problem, Service
from tta_sessions import Flags

Effect = Literal["allow", "deny", "ask"]
"""``ask``: a human must approve this very call first."""
SafetyFlag = Literal["network", "filesystem", "process"]
SAFETY_FLAGS: tuple[SafetyFlag, ...] = ("network", "filesystem", "process")
"""What a tool may say that it reaches; a call of one that says anything else is denied."""
Percent = Annotated[int, Meta(ge=1, le=100)]


class Rate(Struct, frozen=True):
    """At most ``count`` calls within any ``per`` seconds."""

    count: int
    per: float

    def __str__(self) -> str:
        units = {1.0: "s", 60.0: "min", 3600.0: "h", 86_400.0: "d"}
        return f"{self.count}/{units.get(self.per) or f'{self.per:g}s'}"


class Limits(Struct, frozen=True, kw_only=True):
    """What a call may take; None is no limit of the policy's. It is for `tools` to hold a call to them.

    ``timeout`` in seconds, ``memory`` in bytes; ``rate`` and ``concurrency`` hold for each tool and principal.
    """

    timeout: float | None = None
    concurrency: int | None = None
    rate: Rate | None = None
    cpu_percent: int | None = None
    memory: int | None = None


class ToolCall(Struct, frozen=True, kw_only=True):
    """What is to be decided. All but ``arguments`` is known to the system itself, and not said by whoever calls.

    ``callable`` reads ``module:qualname``, and is empty for a closure. ``session_flags`` are read where
    `Policy.reads_flags` says so; None is that they can't be read, or that there is no session. ``audit``: the tool
    lets its arguments be kept in the record of who did what.
    """

    tool: str
    version: str
    callable: str = ""
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = {}
    principal: Principal = ANONYMOUS
    agent: str = ""
    session: str = ""
    owner: str = ""
    session_flags: Flags | None = None
    audit: bool = False


class Decision(Struct, frozen=True, kw_only=True):
    """What the policy says of a call.

    ``rule`` is the id of the rule that decided, or ``default``, ``hook:<plugin>`` and the like; ``reason`` is a stable
    word, which quotes no argument. ``policy`` is the hash of the policy in force. ``approval_ttl`` is for how many
    seconds an approval holds where ``effect`` is ``ask``. ``shadow`` tells what rules that are only tried would have
    decided, as ``id=deny``.
    """

    effect: Effect
    rule: str
    reason: str
    policy: str
    limits: Limits = Limits()
    approval_ttl: float | None = None
    shadow: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the call may be made now."""
        return self.effect == "allow"


class Reloaded(Struct, frozen=True, kw_only=True):
    """An attempt to put a policy in force: when, from where, which, and whether it is; ``error`` quotes no value."""

    at: float
    source: str
    hash: str
    ok: bool
    error: str = ""


class PolicyStatus(Struct, frozen=True, kw_only=True):
    """Which policy is in force; ``degraded_since``: since when its source says nothing that can be used."""

    source: str
    hash: str
    since: float
    rules: int
    watching: bool
    degraded_since: float | None = None
    problems: tuple[str, ...] = ()
    reloads: tuple[Reloaded, ...] = ()


class Reason(Struct, frozen=True, kw_only=True):
    """Why a rule holds for a call, or doesn't: ``failed`` is what it asks in vain, ``undecided`` what nobody knows."""

    rule: str
    section: Literal["deny", "rules"]
    effect: Effect
    holds: bool | None
    decides: bool = False
    shadow: bool = False
    failed: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """A decision, and what each rule had to do with it."""

    decision: Decision
    rules: tuple[Reason, ...]


class Policy(Protocol):
    """Says which tools may be called, by whom, and with what."""

    async def decide(self, call: ToolCall) -> Decision:
        """Decide about a call, and record that; whatever can't be decided is denied, so it raises nothing."""

    def reads_flags(self, tool: str, version: str) -> bool:
        """Whether a rule that may concern a tool asks for flags of the session, so that they are to be read first."""

    def explain(self, call: ToolCall) -> Explanation:
        """Decide about a call without recording it or asking another engine, and say why."""

    def status(self) -> PolicyStatus:
        """Say which policy is in force, since when, and how the last reloads went."""

    async def reload(self) -> Reloaded:
        """Read the policy again, and put it in force whole; where that can't be, the one before stays."""

    def redacted(self) -> Mapping[str, Any]:
        """Return the policy in force as plain data, without what looks like a secret."""

    async def validate(self, text: str, format: Literal["yaml", "json"] = "yaml") -> Sequence[Problem]:
        """Say what is wrong with a policy, and put nothing in force."""


POLICY = Service[Policy]("tool-policy")
"""Who may call which tool. Where nobody provides it, every call is denied."""
