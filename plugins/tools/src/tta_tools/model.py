"""What is known of a tool, what a call of it comes to, and what goes wrong instead."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from tta_agents import AgentError
from tta_kernel import PositiveDuration, Size

S = TypeVar("S")
NAME = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"
"""Of a tool: lower-case words joined by underscores, in parts joined by dots, such as ``kg.query``."""
LONGEST_NAME = 128
LONGEST_ID = 512
VERSION = r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}(?:[-+][0-9A-Za-z.+-]{1,64})?"
CALLABLE = r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*"

Name = Annotated[str, Meta(pattern=f"^{NAME}$", min_length=3, max_length=LONGEST_NAME)]
Version = Annotated[str, Meta(pattern=f"^{VERSION}$", max_length=96)]
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=64)]
Schema = Mapping[str, Any]
"""A JSON Schema, draft 2020-12, without references: what is meant stands where it is meant."""
Status = Literal["active", "deprecated"]
Isolation = Literal["none", "process"]
Output = Literal["refuse", "cut"]


class ToolParameter(Struct, frozen=True, kw_only=True):
    """One argument that a tool takes; without a ``schema`` it may be anything."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
    description: Annotated[str, Meta(max_length=1024)] = ""
    required: bool = True
    schema: Schema = {}


class ToolExample(Struct, frozen=True, kw_only=True):
    """A call as it may look, for people and for models."""

    parameters: Mapping[str, Any]
    description: Annotated[str, Meta(max_length=1024)] = ""


class Reference(Struct, frozen=True, kw_only=True):
    """A tool that any process may run which can import it: ``module:qualname`` of a `Tool`, and arguments for it.

    What is ``bound`` is none of the tool's parameters any more: so one function is many tools.
    """

    callable: Annotated[str, Meta(pattern=f"^{CALLABLE}$", max_length=256)]
    bound: Mapping[str, Any] = {}


class ToolSpec(Struct, frozen=True, kw_only=True):
    """What is declared of a tool; it lies in a store, so fields that are not known yet are passed over.

    ``capabilities`` are tags to find it by. ``safety_flags`` say what it reaches (``network``, ``filesystem``,
    ``process``); a policy denies those that it doesn't know. ``owner`` is the agent or plugin that it belongs to.

    ``idempotent``: to call it twice does no harm, so it may be called again. ``shared``: its results depend on its
    arguments alone, not on who asks; otherwise what is kept is found by the same owner in the same session only.
    ``told``: its result may reach a player, so its text is checked. ``audit``: its arguments may be recorded.

    ``timeout``: seconds that a call may take. ``memory`` and ``cpu_percent`` make it run in a process of its own, as
    ``isolation`` does. ``cache_ttl``: for how long a result is used again for equal arguments, if it is idempotent.
    ``max_output``: bytes that a result may have, as JSON; ``output`` says what becomes of a longer one.

    The last ones are the store's: times in seconds since the epoch, ``seen_at`` when a process that has it last said
    so; ``idle`` is that it was deprecated since nobody used it, and not because somebody asked for that.
    """

    name: Name
    version: Version
    description: Annotated[str, Meta(min_length=1, max_length=2048)]
    parameters: Annotated[tuple[ToolParameter, ...], Meta(max_length=256)] = ()
    returns_schema: Schema = {}
    capabilities: Annotated[tuple[Word, ...], Meta(max_length=32)] = ()
    safety_flags: Annotated[tuple[Word, ...], Meta(max_length=16)] = ()
    owner: Annotated[str, Meta(max_length=128)] = ""
    reference: Reference | None = None
    idempotent: bool = False
    shared: bool = False
    told: bool = False
    audit: bool = False
    timeout: PositiveDuration | None = None
    isolation: Isolation = "none"
    memory: Annotated[Size, Meta(ge=2**20)] | None = None
    cpu_percent: Annotated[int, Meta(ge=1, le=100)] | None = None
    cache_ttl: PositiveDuration | None = None
    max_output: Annotated[Size, Meta(ge=1)] | None = None
    output: Output = "refuse"
    examples: Annotated[tuple[ToolExample, ...], Meta(max_length=5)] = ()
    related_tools: Annotated[tuple[Name, ...], Meta(max_length=10)] = ()
    created_at: float = 0.0
    last_used_at: float = 0.0
    seen_at: float = 0.0
    status: Status = "active"
    idle: bool = False
    schema_version: int = 1

    @property
    def id(self) -> str:
        """``name:version``, under which it is kept and counted."""
        return f"{self.name}:{self.version}"

    @property
    def callable(self) -> str:
        """The ``module:qualname`` that a policy's allow-list is asked about; "" for what only this process has."""
        return self.reference.callable if self.reference is not None else ""

    @property
    def signature(self) -> str:
        """What callers rely on, as 16 hex digits: the same as TTA's predecessor made of the same tool."""
        parts = {
            "name": self.name,
            "version": self.version,
            "parameters": [msgspec.to_builtins(each) for each in self.parameters],
            "returns_schema": self.returns_schema,
            "capabilities": sorted(self.capabilities),
            "safety_flags": sorted(self.safety_flags),
        }
        packed = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(packed.encode()).hexdigest()[:16]


class ToolResult(Struct, frozen=True, kw_only=True):
    """What a call came to: ``value`` holds builtins, wherever the tool ran.

    ``cached``: it is the result of an earlier call with equal arguments; ``repeated``: that of this very call, which
    was made before under the same key. ``note`` says what was cut off.
    """

    tool: str
    version: str
    value: Any
    seconds: float
    cached: bool = False
    repeated: bool = False
    note: str = ""

    def decode(self, type_: type[S]) -> S:
        """Return the value as a Struct, or whatever else it is."""
        return msgspec.convert(self.value, type_)


class Progress(Struct, frozen=True):
    """How far a call has come: in words of the tool's, and from 0 to 1 where it knows."""

    text: str = ""
    fraction: float | None = None


Code = Literal[
    "denied", "approval_required", "invalid_arguments", "invalid_result", "not_found", "unavailable", "rate_limited",
    "busy", "timed_out", "failed", "in_doubt", "too_large", "building", "conflict",
]  # fmt: skip
AGAIN: frozenset[Code] = frozenset({"unavailable", "rate_limited", "busy", "building"})
"""Nothing was done, and later it may be."""


class ToolError(AgentError):
    """A call of a tool came to nothing: which, where, and the way out; never an argument's value.

    An agent that lets it through has failed with this code. ``retryable``: calling again may help, after
    ``retry_after`` seconds where that is known. ``approval`` is the id of what a human has to approve first. ``path``
    says where an argument or a result is wrong.
    """

    def __init__(
        self, code: Code, detail: str, *, retryable: bool | None = None, retry_after: float | None = None,
        approval: str = "", path: str = "",
    ) -> None:  # fmt: skip
        super().__init__(code, detail, retryable=code in AGAIN if retryable is None else retryable)
        self.retry_after, self.approval, self.path = retry_after, approval, path

    def again(self, *, retryable: bool | None = None) -> ToolError:
        """Return an equal error to raise anew."""
        code = cast(Code, self.code)
        wanted = self.retryable if retryable is None else retryable
        return ToolError(
            code, self.detail, retryable=wanted, retry_after=self.retry_after, approval=self.approval, path=self.path
        )


class NotCalled(ToolError):
    """A tool wasn't called: there was no place for it, or nothing to call. It never leaves `Maker`.

    What a tool raises itself is another thing, whatever its code: by then it may have done something.
    """


ApprovalStatus = Literal["pending", "approved", "refused", "taken"]


class Approval(Struct, frozen=True, kw_only=True):
    """A human's leave for one call: of this tool, version and arguments, by this requester, once, until it expires.

    ``binding`` is a digest of all that; the arguments themselves aren't kept. ``rule`` is the policy's that asked, and
    ``key`` the call's.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    binding: str
    tool: str
    version: str
    arguments: str
    requester: str
    agent: str = ""
    session: str = ""
    owner: str = ""
    rule: str = ""
    key: str = ""
    asked_at: float
    expires_at: float
    status: ApprovalStatus = "pending"
    by: str = ""
    decided_at: float = 0.0


def split_id(id: str) -> tuple[str, str]:
    """Return name and version of ``name:version``, or of a name alone; ValueError if it is neither."""
    name, _, version = id.partition(":")
    if not is_name(name) or (version and re.fullmatch(VERSION, version) is None):
        raise ValueError(f"{id[:LONGEST_NAME]!r} is no tool: it reads like `kg.query` or `kg.query:1.2.0`")
    return name, version


def is_version(text: str) -> bool:
    """Say whether this can be a tool's version."""
    return len(text) <= 96 and re.fullmatch(VERSION, text) is not None


def is_name(text: str) -> bool:
    """Say whether this can be a tool's name."""
    return 3 <= len(text) <= LONGEST_NAME and re.fullmatch(NAME, text) is not None
