"""A policy as it is written: its rules, the floor below them, and what holds where a rule says nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field

from tta_kernel import PositiveDuration, Size

from .model import Effect, Percent, Rate, SafetyFlag

MOST_RULES = 1000
SEVERAL = 100
"""How many names, patterns or predicates a rule lists at most."""
APPROVAL = 3600.0
"""For how many seconds an approval holds where nobody says so."""

RuleId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=SEVERAL)]
"""Names, in which ``*`` stands for any characters."""
Scalar = str | int | float | bool | None
Scalars = Annotated[tuple[Scalar, ...], Meta(min_length=1, max_length=1000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Length = Annotated[int, Meta(ge=0, le=100_000_000)]
Kind = Literal["string", "integer", "number", "boolean", "array", "object", "null"]
Raw = Meta(extra={"raw": True})
_RATE = re.compile(r"([1-9]\d{0,6}) ?/ ?(s|min|h|d)")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class Argument(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a rule asks of an argument; all of it must hold. The names are JSON Schema's where these have one.

    A value of a kind that something here says nothing of is *undecided*: text where ``maximum`` stands, ``true`` where
    ``in`` lists numbers, a number that isn't finite, text that isn't Unicode in its normal form. So is an argument that
    isn't there, unless ``missing`` says what it counts as. ``under`` is a folder, below which a relative path stays.
    """

    type: Kind | None = None
    in_: Scalars | None = field(default=None, name="in")
    not_in: Scalars | None = None
    minimum: float | int | None = None
    maximum: float | int | None = None
    min_length: Length | None = None
    max_length: Length | None = None
    pattern: Annotated[str, Meta(min_length=1, max_length=2000)] | None = None
    under: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    missing: Literal["holds", "fails"] | None = None


class SessionIs(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a rule asks of the session's flags; where these can't be read, the call is denied."""

    paused: bool | None = None
    contact: bool | None = None
    data: bool | None = None
    age_band: Annotated[tuple[Literal["unknown", "child", "teen", "adult"], ...], Meta(min_length=1)] | None = None
    locale: Names | None = None
    country: Names | None = None


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule: for which calls it is, and what becomes of them.

    Each list that is given must fit in one of its entries. ``tools`` reads ``name`` or ``name:versions``, such as
    ``kg.query:1.*``. ``flags``: the tool has one of these; ``grants``: it may have these, and no others unless the
    ``defaults`` grant them. ``schema``, of an allowing rule: the arguments fit it; ``unless_schema``, of the others:
    they don't. ``shadow``: it is only told what it would have decided.
    """

    id: RuleId
    effect: Effect | None = None
    why: Annotated[str, Meta(max_length=500)] = ""
    tools: Names
    principals: Names | None = None
    kinds: (
        Annotated[tuple[Literal["anonymous", "key", "oidc", "mtls", "local", "agent"], ...], Meta(min_length=1)] | None
    ) = None
    roles: Names | None = None
    agents: Names | None = None
    tags: Names | None = None
    flags: Annotated[tuple[SafetyFlag, ...], Meta(min_length=1)] | None = None
    grants: tuple[SafetyFlag, ...] = ()
    arguments: Annotated[dict[Name, Argument], Meta(max_length=SEVERAL)] = {}
    schema: Annotated[dict[str, Any], Raw] | None = None
    unless_schema: Annotated[dict[str, Any], Raw] | None = None
    session: SessionIs | None = None
    timeout: PositiveDuration | None = None
    rate: Annotated[str, Meta(max_length=20)] | None = None
    concurrency: Count | None = None
    cpu_percent: Percent | None = None
    memory: Size | None = None
    approval_ttl: PositiveDuration | None = None
    shadow: bool = False


class Defaults(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds where a rule says nothing else.

    ``network`` and its like: true grants the flag to each allowing rule; false denies every tool that has it, whatever
    a rule says; unset leaves it to the rules. ``callables``: unset, nobody asks which function a tool runs; else one
    that isn't listed is denied, and so nothing is allowed where the list is empty.
    """

    network: bool | None = None
    filesystem: bool | None = None
    process: bool | None = None
    callables: Annotated[tuple[Name, ...], Meta(max_length=10_000)] | None = None
    timeout: PositiveDuration | None = None
    concurrency: Count | None = None
    cpu_percent: Percent | None = None
    memory: Size | None = None
    approval_ttl: PositiveDuration = APPROVAL


class PolicyText(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole policy: the floor under ``deny``, then the rules from top to bottom; the first that holds decides."""

    __moved__: ClassVar[Mapping[str, str]] = {
        "callable_allowlist": "`callables` under `defaults`",
        "allow_network_tools": "`network` under `defaults`",
        "allow_filesystem_tools": "`filesystem` under `defaults`",
        "allow_process_tools": "`process` under `defaults`",
        "default_timeout_ms": "`timeout` under `defaults`, such as 250ms",
        "max_concurrency": "`concurrency` under `defaults`",
        "cpu_limit_percent": "`cpu_percent` under `defaults`",
        "memory_limit_mb": "`memory` under `defaults`, such as 256MB",
    }

    version: Literal[1]
    defaults: Defaults = Defaults()
    deny: Annotated[tuple[Rule, ...], Meta(max_length=MOST_RULES)] = ()
    rules: Annotated[tuple[Rule, ...], Meta(max_length=MOST_RULES)] = ()


def rate_of(text: str) -> Rate:
    """Return the rate that is written as ``30/min``; raise a ValueError for what is none."""
    found = _RATE.fullmatch(text)
    if not found:
        raise ValueError("expected a rate such as '30/min', with s, min, h or d")
    return Rate(int(found[1]), _UNITS[found[2]])
