"""Tools over HTTP: who sees what, calling one under its own permission, and approving calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tta_http import HttpProblem, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Kernel
from tta_tool_policy import Decision
from tta_tools import TOOLS, Tool
from tta_tools.testing import FakePolicy, deployment


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


async def hang() -> None:
    """Hang."""
    await anyio.sleep_forever()


TOOLS_HERE = [
    Tool.of(add, name="math.add", version="1.0.0"), Tool.of(add, name="math.plus", version="1.0.0"),
    Tool.of(hang, name="hang", version="1.0.0"),
]  # fmt: skip
EXECUTING = {"allow_tool_execution": True, "allowed_tools": ["math.add", "hang"], "execute_per_minute": 3}


def may(*permissions: str) -> Principal:
    return Principal("ci", "key", permissions=frozenset(permissions))


@pytest.fixture
def policy() -> FakePolicy:
    return FakePolicy()


@pytest.fixture
async def kernel(policy: FakePolicy) -> AsyncIterator[Kernel]:
    async with deployment(*TOOLS_HERE, policy=policy, tools={**EXECUTING, "execute_timeout": 0.2}) as kernel:
        yield kernel


async def problem(kernel: Kernel, principal: Principal, body: Any, target: str = "/tools/execute") -> HttpProblem:
    with pytest.raises(HttpProblem) as caught:
        await Caller(kernel.hooks, principal).post(target, body)
    return caught.value


async def test_tools_are_listed_with_what_they_take_and_how_they_do(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    for _ in range(3):
        await kernel.get(TOOLS).run("math.add", {"a": 1})
    first = await caller.get("/tools?prefix=math&limit=1")
    [shown] = first["items"]
    assert (shown["name"], shown["calls"], shown["error_rate"]) == ("math.add", 3, 0.0)
    assert shown["parameters"]["a"] == {"type": "integer", "required": True}
    rest = await caller.get(f"/tools?prefix=math&limit=5&cursor={first['next']}")
    assert ([each["name"] for each in rest["items"]], rest["next"]) == (["math.plus"], None)
    assert (await caller.get("/tools?status=deprecated"))["items"] == []


async def test_the_summary_says_what_is_used_most_and_pages_by_any_figure(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    await kernel.get(TOOLS).run("math.plus", {"a": 1})
    await kernel.get(TOOLS).deprecate("hang", "1.0.0")
    summary = await caller.get("/tools/summary?sort=calls&limit=2")
    assert (summary["total"], summary["active"], summary["deprecated"]) == (3, 2, 1)
    assert (summary["most_used"], summary["least_used"]) == (
        ["math.plus:1.0.0"], ["math.add:1.0.0", "math.plus:1.0.0"],
    )  # fmt: skip
    assert [each["name"] for each in summary["items"]] == ["math.plus", "hang"]
    rest = await caller.get(f"/tools/summary?sort=calls&limit=2&cursor={summary['next']}")
    assert ([each["name"] for each in rest["items"]], rest["next"]) == (["math.add"], None)


async def test_calling_a_tool_needs_its_own_permission_and_the_deployment_s(kernel: Kernel) -> None:
    body = {"tool": "math.add", "arguments": {"a": 3, "b": 4}}
    ci = may("tools:call", "tools:execute:math.add", "tools:execute:math.plus")
    done = await Caller(kernel.hooks, ci).post("/tools/execute", body)
    assert (done["result"], done["tool"], done["version"]) == (7, "math.add", "1.0.0")
    assert done["seconds"] > 0
    for who in (may(), may("tools:call"), may("tools:execute:math.add"), may("tools:call", "tools:execute:hang")):
        assert (await problem(kernel, who, body)).type.status == 403
    assert "allowed_tools" in (await problem(kernel, ci, {**body, "tool": "math.plus"})).detail
    assert (await problem(kernel, EVERYTHING, {**body, "tool": "nothing"})).type.status == 403


async def test_the_fourth_call_in_a_minute_is_one_too_many(kernel: Kernel) -> None:
    for _ in range(3):
        await Caller(kernel.hooks).post("/tools/execute", {"tool": "math.add", "arguments": {"a": 1}})
    found = await problem(kernel, EVERYTHING, {"tool": "math.add", "arguments": {"a": 1}})
    assert (found.type.status, found.headers["Retry-After"]) == (429, "60")
    both = Principal("other", "key", permissions=EVERYTHING.permissions)
    await Caller(kernel.hooks, both).post("/tools/execute", {"tool": "math.add", "arguments": {"a": 1}})


async def test_each_way_to_come_to_nothing_has_its_status(kernel: Kernel, policy: FakePolicy) -> None:
    late = await problem(kernel, EVERYTHING, {"tool": "hang"})
    assert late.type.status == 504
    wrong = await problem(kernel, EVERYTHING, {"tool": "math.add", "arguments": {"a": "secret"}})
    assert (wrong.type.status, [each.field for each in wrong.errors]) == (409, ["arguments.a"])
    assert "secret" not in wrong.detail + str(wrong.errors)
    policy.says = lambda call: Decision(effect="deny", rule="r", reason="because", policy="")
    assert (await problem(kernel, EVERYTHING, {"tool": "math.add", "arguments": {"a": 1}})).type.status == 403


async def test_a_human_approves_a_call_over_http(kernel: Kernel, policy: FakePolicy) -> None:
    policy.says = lambda call: Decision(effect="ask", rule="r", reason="because", policy="")
    body = {"tool": "math.add", "arguments": {"a": 1}}
    asked = await problem(kernel, EVERYTHING, body)
    assert asked.type.code == "approval-required"
    [approval] = (await Caller(kernel.hooks).get("/tools/approvals?status=pending"))["items"]
    assert approval["id"] in asked.detail
    path = f"/tools/approvals/{approval['id']}"
    assert (await problem(kernel, EVERYTHING, {"approved": True}, path)).type.status == 403
    human = Principal("dr b", "oidc", permissions=frozenset({"tool-approvals:decide"}))
    assert (await Caller(kernel.hooks, human).post(path, {"approved": True}))["status"] == "approved"
    assert (await problem(kernel, human, {"approved": True}, "/tools/approvals/none")).type.status == 404
    assert (await Caller(kernel.hooks).post("/tools/execute", body))["result"] == 2


async def test_a_dry_run_over_http_calls_nothing(kernel: Kernel) -> None:
    caller = Caller(kernel.hooks)
    fits = await caller.post("/tools/math.add/dry-run", {"arguments": {"a": 1}})
    assert (fits["decision"]["effect"], fits["problem"]) == ("allow", "")
    assert "must be integer" in (await caller.post("/tools/math.add/dry-run", {"arguments": {"a": "x"}}))["problem"]
    assert (await problem(kernel, EVERYTHING, {}, "/tools/none/dry-run")).type.status == 404


async def test_nothing_is_called_over_http_unless_the_deployment_says_so() -> None:
    async with deployment(*TOOLS_HERE) as kernel:
        assert (await problem(kernel, EVERYTHING, {"tool": "math.add"})).type.status in (404, 405)
