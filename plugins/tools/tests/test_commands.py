"""``tta tools …`` and ``tta policy explain``, as a human types them."""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tta_kernel import Kernel
from tta_program import Subcommands
from tta_tool_policy import Decision, Explanation, Reason, ToolCall
from tta_tools import BOUNDS, TOOL_STORE, TOOLS, Figures, MemoryToolStore, Tool, ToolError, commands
from tta_tools.report import Recommendation, report
from tta_tools.testing import FakePolicy, deployment, spec


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Durable(MemoryToolStore):
    """A store of which the commands think that others see it."""

    durable = True


async def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


class Explaining(FakePolicy):
    def explain(self, call: ToolCall) -> Explanation:
        allowed = "author" in call.principal.roles and call.arguments == {"a": 1}
        effect: Any = "allow" if allowed else "deny"
        decision = Decision(effect=effect, rule="sums", reason="because", policy="0f")
        failed = () if allowed else ("role",)
        return Explanation(
            decision=decision,
            rules=(
                Reason(rule="sums", section="rules", effect="allow", holds=allowed, decides=allowed, failed=failed),
            ),
        )


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    tool = Tool.of(add, name="math.add", version="1.0.0")
    store = Durable(time.time)
    async with deployment(tool, policy=Explaining(), without=("tools-memory",), services={TOOL_STORE: store}) as kernel:
        yield kernel


async def tta(kernel: Kernel, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    options = parser.parse_args(words)
    return int(await options.command.run(kernel, options))


async def answer(kernel: Kernel, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert await tta(kernel, *words, "--json") == 0
    return msgspec.json.decode(capsys.readouterr().out)


async def test_tools_are_listed_shown_and_called(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert await tta(kernel, "tools", "run", "math.add", "--arguments", '{"a": 3}') == 0
    assert capsys.readouterr().out.strip() == "4"
    assert await tta(kernel, "tools", "list") == 0
    listed = capsys.readouterr().out
    assert "math.add:1.0.0" in listed
    assert "active" in listed
    assert await tta(kernel, "tools", "show", "math.add") == 0
    shown = capsys.readouterr().out
    for word in ("takes a", "takes b, if you like", '"integer"', "signature", "test_commands:add", "1, of which 0.0%"):
        assert word in shown or word == "test_commands:add"
    assert (await answer(kernel, capsys, "tools", "show", "math.add:1.0.0"))["spec"]["name"] == "math.add"
    assert (await answer(kernel, capsys, "tools", "list", "--prefix", "x")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tools", "show", "coin"), "there is no tool coin"),
        (("tools", "show", "Coin!"), "is no tool"),
        (("tools", "run", "math.add", "--arguments", '{"a": "secret"}'), "a: must be integer"),
        (("tools", "deprecate", "math.add"), "say which version"),
        (("tools", "deprecate", "math.add:7.0.0"), "there is no tool"),
        (("tools", "approve", "none", "--by", "dr b"), "there is no approval"),
    ],
)
async def test_what_can_t_be_done_is_said(
    kernel: Kernel, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert await tta(kernel, *words) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "secret" not in err


@pytest.mark.parametrize("given", ["[1]", "{", "\ud800", "x" * 2**21])
def test_arguments_that_are_no_object_are_a_usage_error(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    with pytest.raises(SystemExit):
        parser.parse_args(["tools", "run", "dice", "--arguments", given])


async def test_a_version_is_deprecated_and_the_idle_are_cleaned_up(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    await kernel.get(TOOLS).register(spec())
    assert await tta(kernel, "tools", "deprecate", "dice:1.0.0") == 0
    assert "dice:1.0.0 is deprecated" in capsys.readouterr().out
    assert await answer(kernel, capsys, "tools", "cleanup", "--max-idle", "1h") == {"deprecated": [], "pruned": []}


async def test_a_call_is_approved_by_somebody_else(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    async with deployment(
        Tool.of(add, name="math.add", version="1.0.0"),
        policy=FakePolicy(lambda call: Decision(effect="ask", rule="r", reason="", policy="")),
        without=("tools-memory",),
        services={TOOL_STORE: Durable(time.time)},
    ) as asking:
        assert await tta(asking, "tools", "run", "math.add", "--arguments", '{"a": 1}') == 1
        assert "tta tools approve" in capsys.readouterr().err
        [waiting] = (await answer(asking, capsys, "tools", "approvals"))["approvals"]
        assert await tta(asking, "tools", "approvals", "--status", "pending") == 0
        assert waiting["id"] in capsys.readouterr().out
        assert await tta(asking, "tools", "approve", waiting["id"], "--by", waiting["requester"].split(":")[-1]) == 1
        assert "somebody else" in capsys.readouterr().err
        assert await tta(asking, "tools", "approve", waiting["id"], "--by", "dr b") == 0
        assert "approved by dr b" in capsys.readouterr().out
        assert await tta(asking, "tools", "approve", waiting["id"], "--by", "dr c", "--refuse") == 1
        assert await tta(asking, "tools", "run", "math.add", "--arguments", '{"a": 1}') == 0


async def test_policy_explain_shows_which_rule_decided_and_why(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("policy", "explain", "math.add", "--arguments", '{"a": 1}', "--as")
    assert await tta(kernel, *words, "author") == 0
    assert "allow, by sums: because" in capsys.readouterr().out
    assert await tta(kernel, *words, "guest") == 0
    denied = capsys.readouterr().out
    assert "deny, by sums" in denied
    assert "role" in denied
    assert (await answer(kernel, capsys, *words, "author"))["decision"]["effect"] == "allow"


async def test_in_memory_only_the_running_process_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    async with deployment(Tool.of(add, name="math.add", version="1.0.0")) as kernel:
        for words in (("report",), ("cleanup",), ("approvals",), ("deprecate", "math.add:1.0.0")):
            assert await tta(kernel, "tools", *words) == 1
            assert "ask the running one" in capsys.readouterr().err
        assert await tta(kernel, "tools", "list") == 0


def took(seconds: float, calls: int) -> tuple[int, ...]:
    first = next(number for number, bound in enumerate(BOUNDS) if bound >= seconds)
    return (0,) * first + (calls,)


def test_recommendations_follow_from_figures_and_name_them() -> None:
    specs = [
        spec("dice"), spec("dice", "1.1.0"), spec("slow", idempotent=True), spec("hit", idempotent=True, cache_ttl=5.0),
        spec("miss", idempotent=True, cache_ttl=5.0), spec("failing"), replace(spec("old"), status="deprecated"),
        spec("old", "2.0.0"),
    ]  # fmt: skip
    figures = {
        "dice:1.1.0": Figures(successes=100, times=took(0.001, 100)),
        "slow:1.0.0": Figures(successes=80, times=took(3, 80)),
        "hit:1.0.0": Figures(successes=100, cached=70, times=took(0.2, 30)),
        "miss:1.0.0": Figures(successes=100, cached=1, times=took(0.2, 99)),
        "failing:1.0.0": Figures(successes=30, failures={"failed": 50, "denied": 900}, times=took(0.1, 80)),
        "old:1.0.0": Figures(successes=1),
    }
    found = report(specs, figures, {"slow:1.0.0", "hit:1.0.0", "miss:1.0.0", "failing:1.0.0"})
    assert found.used[0] == "failing:1.0.0"
    assert (found.slow, found.failing, found.unused) == (["slow:1.0.0"], ["failing:1.0.0"], ["dice:1.0.0", "old:2.0.0"])
    assert found.recommendations == [
        Recommendation("dice:1.0.0", "deprecate it", "0 calls, and there is dice:1.1.0"),
        Recommendation("dice:1.1.0", "make it static, in a plugin", "100 calls of a tool that is built"),
        Recommendation("slow:1.0.0", "give it a cache_ttl", "95 % of 80 calls take up to 4 s"),
        Recommendation("hit:1.0.0", "raise its cache_ttl", "70% of 100 calls had a kept result"),
        Recommendation("miss:1.0.0", "drop its cache_ttl", "1% of 100 calls had a kept result"),
        Recommendation(
            "failing:1.0.0", "mend it, or deprecate it", "62% of 80 calls fail, most with failed"
        ),
        Recommendation("old:1.0.0", "have its callers take old:2.0.0", "1 calls, though deprecated"),
    ]  # fmt: skip


async def test_the_report_is_printed(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    await kernel.get(TOOLS).run("math.add", {"a": 1})
    assert await tta(kernel, "tools", "report") == 0
    assert "math.add:1.0.0" in capsys.readouterr().out
    with pytest.raises(ToolError):
        await kernel.get(TOOLS).run("math.add", {})
    assert (await answer(kernel, capsys, "tools", "report"))["used"] == ["math.add:1.0.0"]
