"""What is asked for over HTTP: which tools there are and how they do, calling one, and approving calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from math import ceil
from typing import Annotated, Any, TypeVar

import anyio
import msgspec
from msgspec import Meta

from tta_http import (
    CONFLICT,
    FAILED,
    FORBIDDEN,
    LATE,
    NOT_FOUND,
    RATE_LIMITED,
    TOO_LARGE,
    UNAVAILABLE,
    FieldProblem,
    HttpProblem,
    Paged,
    Part,
    Principal,
    ProblemType,
    Route,
    cursor_after,
)
from tta_tool_policy import Decision, Limits, Rate

from .limiting import Limiter
from .model import LONGEST_ID, Approval, ApprovalStatus, Status, ToolError
from .service import DryRun
from .settings import Config
from .tools import StoredTools
from .views import Sort, ToolView, ordered, view

T = TypeVar("T")
APPROVAL_REQUIRED = ProblemType("approval-required", 409, "A human has to approve this first")
# Not 422: the request is as its schema says, and what the tool takes is the tool's to say.
INVALID_ARGUMENTS = ProblemType("invalid-arguments", 409, "The tool doesn't take these arguments")
IN_DOUBT = ProblemType("in-doubt", 409, "Nobody knows whether it was done")
_PROBLEMS: Mapping[str, ProblemType] = {
    "denied": FORBIDDEN, "approval_required": APPROVAL_REQUIRED, "invalid_arguments": INVALID_ARGUMENTS,
    "not_found": NOT_FOUND,
    "unavailable": UNAVAILABLE, "building": UNAVAILABLE, "busy": UNAVAILABLE, "rate_limited": RATE_LIMITED,
    "timed_out": LATE, "in_doubt": IN_DOUBT, "conflict": CONFLICT, "too_large": TOO_LARGE,
}  # fmt: skip
"""By the codes of errors; what isn't named is the tool's failure."""
_MOST_SHOWN = 5
_MARGIN = 2.0
"""Seconds that the server waits longer than a call may take, so that it is the call that says so."""

ToolName = Annotated[str, Meta(min_length=1, max_length=128)]
ToolVersion = Annotated[str, Meta(max_length=96)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]


class ToolList(Part[ToolView], frozen=True):
    """Tools, by name."""


class AskTools(Paged, frozen=True, forbid_unknown_fields=True):
    """Which tools: those whose name begins so, of one status, or all."""

    prefix: Annotated[str, Meta(max_length=128)] = ""
    status: Status | None = None


class AskSummary(Paged, frozen=True, forbid_unknown_fields=True):
    """By which figure tools are sorted, the highest first, or by name."""

    sort: Sort = "name"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How many tools there are, which of them are used most and least, and a part of all of them."""

    total: int
    active: int
    deprecated: int
    cache_hits: int
    cache_misses: int
    most_used: Sequence[str]
    least_used: Sequence[str]
    items: Sequence[ToolView]
    next: str | None = None


class Execute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tool, and its arguments; with a ``key`` the call is made once, however often it is asked for."""

    tool: ToolName
    version: ToolVersion = ""
    arguments: Mapping[str, Any] = {}
    key: Annotated[str, Meta(max_length=LONGEST_ID)] = ""


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """What a call came to, and how many seconds it took."""

    tool: str
    version: str
    result: Any
    seconds: float
    cached: bool = False
    repeated: bool = False
    note: str = ""


class AskDryRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool, and arguments as a call would have them."""

    name: ToolName
    version: ToolVersion = ""
    arguments: Mapping[str, Any] = {}


class ApprovalList(Part[Approval], frozen=True):
    """Approvals that haven't expired, the newest first."""


class AskApprovals(Paged, frozen=True, forbid_unknown_fields=True):
    """Which approvals: those of one status, or all."""

    status: ApprovalStatus | None = None


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call, and whether it may be made; whoever asked for it doesn't decide."""

    id: Id
    approved: bool


EXAMPLE = ToolView(
    name="dice", version="1.0.0", description="Roll dice.", status="active", owner="tools-basic",
    capabilities=["chance"], safety_flags=[], idempotent=False,
    shared=False, told=False, isolation="none", timeout=None, memory=None, cache_ttl=None,
    parameters={"dice": {"type": "string", "required": True}}, returns={"type": "integer"},
    created_at=1_790_000_000.0, last_used_at=1_790_000_060.0, calls=12, failures={"invalid_arguments": 1},
    error_rate=0.0833, cached=0, p50=0.00017, p95=0.00024,
)  # fmt: skip
EXAMPLE_SUMMARY = Summary(
    total=1, active=1, deprecated=0, cache_hits=11, cache_misses=1, most_used=["dice:1.0.0"], least_used=["dice:1.0.0"],
    items=[EXAMPLE],
)  # fmt: skip
EXAMPLE_DRY_RUN = DryRun(
    tool="dice", version="1.0.0",
    decision=Decision(effect="allow", rule="story", reason="allowed", policy="2c26b46b"),
)  # fmt: skip
EXAMPLE_EXECUTED = Executed(tool="dice", version="1.0.0", result=11, seconds=0.00021)
EXAMPLE_APPROVAL = Approval(
    id="9f86d081884c7d65", binding="2c26b46b", tool="mail.send", version="1.0.0", arguments="fcde2b2e",
    requester="key:story", agent="narrative-generator", session="s-1", owner="anna", rule="mail-needs-a-human",
    asked_at=1_790_000_000.0, expires_at=1_790_003_600.0,
)  # fmt: skip


def tool_routes(tools: Callable[[], StoredTools], config: Config) -> Sequence[Route]:
    """Return the routes; the one that calls a tool only where the deployment allows it."""
    asking = _Asking(tools, config)
    found = [
        Route(
            method="GET", path="/tools", permission="tools:read", request=AskTools, handler=asking.listed,
            response=ToolList, summary="List tools, and how they have done.", example=ToolList([EXAMPLE]),
        ),
        Route(
            method="GET", path="/tools/summary", permission="tools:read", request=AskSummary, handler=asking.summary,
            response=Summary, summary="Say how many tools there are, and which are used most and least.",
            example=EXAMPLE_SUMMARY,
        ),
        Route(
            method="POST", path="/tools/{name}/dry-run", permission="tools:dry-run", request=AskDryRun,
            handler=asking.dry_run, response=DryRun, mutates=False,
            problems=(NOT_FOUND, INVALID_ARGUMENTS, TOO_LARGE, UNAVAILABLE), example=EXAMPLE_DRY_RUN,
            summary="Say what would become of a call, and call nothing.",
        ),
        Route(
            method="GET", path="/tools/approvals", permission="tool-approvals:read", request=AskApprovals,
            handler=asking.approvals, response=ApprovalList, example=ApprovalList([EXAMPLE_APPROVAL]),
            summary="List the calls that wait for a human.",
        ),
        Route(
            method="POST", path="/tools/approvals/{id}", permission="tool-approvals:decide", request=Decide,
            handler=asking.decide, response=Approval, problems=(NOT_FOUND, FORBIDDEN), example=EXAMPLE_APPROVAL,
            summary="Approve a call, or refuse it.",
        ),
    ]  # fmt: skip
    if config.allow_tool_execution:
        found.append(
            Route(
                method="POST",
                path="/tools/execute",
                permission="tools:call",
                request=Execute,
                handler=asking.execute,
                response=Executed,
                limit="costly",
                timeout=config.execute_timeout + _MARGIN,
                problems=(*_PROBLEMS.values(), FAILED),
                summary="Call a tool.",
                example=EXAMPLE_EXECUTED,
            )
        )
    return found


class _Asking:
    """The handlers."""

    def __init__(self, tools: Callable[[], StoredTools], config: Config) -> None:
        self._tools, self._config = tools, config
        self._limiter = Limiter(config.callers)
        self._limits = Limits(rate=Rate(config.execute_per_minute, 60.0))

    async def listed(self, request: AskTools, principal: Principal) -> ToolList:
        page = await _told(self._tools().page(request.prefix, request.after, request.limit))
        figures = await _told(self._tools().figures())
        shown = [view(each, figures.get(each.id)) for each in page.specs if request.status in (None, each.status)]
        return ToolList(shown, cursor_after(page.cursor) if page.cursor else None)

    async def summary(self, request: AskSummary, principal: Principal) -> Summary:
        tools = self._tools()
        figures = await _told(tools.figures())
        specs = await _told(tools.all())
        views = [view(each, figures.get(each.id)) for each in specs]
        used = ordered([each for each in views if each.status == "active"], "calls")
        called = [each for each in used if each.calls]
        first = int(request.after) if request.after.isdecimal() and len(request.after) < 9 else 0
        last = first + request.limit
        registry = tools.registry
        active = sum(each.status == "active" for each in views)
        return Summary(
            total=len(views), active=active, deprecated=len(views) - active, cache_hits=registry.hits,
            cache_misses=registry.misses, most_used=[each.id for each in called[:_MOST_SHOWN]],
            least_used=[each.id for each in used[::-1][:_MOST_SHOWN]], items=ordered(views, request.sort)[first:last],
            next=cursor_after(str(last)) if len(views) > last else None,
        )  # fmt: skip

    async def execute(self, request: Execute, principal: Principal) -> Executed:
        # In this order: who may not know which tools there are learns nothing of it.
        if not principal.may(f"tools:execute:{request.tool}"):
            raise FORBIDDEN("calling a tool needs the permission tools:execute: with its name")
        if not any(fnmatchcase(request.tool, each) for each in self._config.allowed_tools):
            raise FORBIDDEN("this tool is not among the `allowed_tools` of this deployment")
        return await _told(self._executed(request, principal))

    async def _executed(self, request: Execute, principal: Principal) -> Executed:
        limit = self._config.execute_timeout
        with self._limiter.call(request.tool, principal, self._limits), anyio.move_on_after(limit):
            done = await self._tools().run(
                request.tool, request.arguments, version=request.version, key=request.key, principal=principal
            )
            return Executed(
                tool=done.tool, version=done.version, result=done.value, seconds=done.seconds, cached=done.cached,
                repeated=done.repeated, note=done.note,
            )  # fmt: skip
        raise ToolError("timed_out", f"{request.tool}: took longer than {limit:g} s")

    async def dry_run(self, request: AskDryRun, principal: Principal) -> DryRun:
        return await _told(
            self._tools().dry_run(request.name, request.arguments, version=request.version, principal=principal)
        )

    async def approvals(self, request: AskApprovals, principal: Principal) -> ApprovalList:
        page = await _told(self._tools().approvals(request.status or "", request.after, request.limit))
        return ApprovalList(page.approvals, cursor_after(page.cursor) if page.cursor else None)

    async def decide(self, request: Decide, principal: Principal) -> Approval:
        return await _told(self._tools().decide(request.id, approved=request.approved, by=principal.name))


async def _told(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except ToolError as exc:
        raise problem_of(exc) from None


def problem_of(error: ToolError) -> HttpProblem:
    """Return an error as a caller over HTTP sees it: its detail quotes nothing of what was sent, or of the tool."""
    kind = _PROBLEMS.get(error.code, FAILED)
    errors = [FieldProblem(f"arguments.{error.path}", error.detail)] if error.path and kind is INVALID_ARGUMENTS else []
    headers = {"Retry-After": str(max(1, ceil(error.retry_after)))} if error.retry_after is not None else {}
    return kind(error.detail, errors=errors, headers=headers)
