"""A call, from the policy to its result: what is in its way, and that it is made once."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any

import anyio
import msgspec
import pytest
from msgspec import Meta
from msgspec.structs import replace

from tta_http import Principal
from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.testing import published, running
from tta_safety import Verdict
from tta_sessions import SESSIONS
from tta_sessions.flags import set_flags
from tta_tool_policy import Decision, Effect, Limits, Rate, ToolCall
from tta_tools import (
    TOOL_STORE,
    TOOLS,
    MemoryToolStore,
    Progress,
    Reference,
    Reporter,
    Tool,
    ToolCalled,
    ToolError,
    tool,
)
from tta_tools.testing import FakePolicy, deployment
from tta_tools.testing.deployment import PLUGINS

CI = Principal("ci", "key")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Point(msgspec.Struct):
    x: int
    y: int = 0


async def add(a: int, b: Annotated[int, Meta(description="the other")] = 1) -> int:
    """Add two numbers."""
    return a + b


async def far(point: Point, names: list[str]) -> dict[str, int]:
    """Say how far it is."""
    assert isinstance(point, Point)
    return dict.fromkeys(names, abs(point.x) + abs(point.y))


class Odd(dict[str, Any]):
    """Equals nothing, and says so in its own way."""

    def __init__(self, raises: BaseException) -> None:
        super().__init__(a=1)
        self._raises = raises

    def __eq__(self, other: object) -> bool:
        raise self._raises

    __ne__ = __eq__
    __hash__ = None


class Counted:
    """A tool that counts its calls, and does what a test says."""

    def __init__(self, does: Callable[[int], Any] = lambda number: number, **declared: Any) -> None:
        self.calls = 0
        self._does = does
        self.tool = Tool.of(self.run, name="counted", version="1.0.0", description="Count.", **declared)

    async def run(self, number: int = 0) -> Any:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        answer = self._does(number)
        return await answer if hasattr(answer, "__await__") else answer


def saying(effect: Effect, **more: Any) -> FakePolicy:
    return FakePolicy(lambda call: Decision(effect=effect, rule="r-1", reason="because", policy="0f", **more))


async def refused(kernel: Kernel, name: str = "counted", arguments: Any = None, **more: Any) -> ToolError:
    """Return the error that a call comes to."""
    with pytest.raises(ToolError) as caught:
        await kernel.get(TOOLS).run(name, {} if arguments is None else arguments, **more)
    return caught.value


@pytest.fixture
async def adding() -> AsyncIterator[Kernel]:
    tools = [Tool.of(function, name=f"math.{function.__name__}", version="1.0.0") for function in (add, far)]
    async with deployment(*tools) as kernel:
        yield kernel


async def test_a_call_has_its_result_and_types(adding: Kernel) -> None:
    tools = adding.get(TOOLS)
    with published(adding, ToolCalled) as seen:
        done = await tools.run("math.add", {"a": 3, "b": 4}, session="s-1", owner="anna", agent="teller")
        assert (done.value, done.tool, done.version, done.cached, done.note) == (7, "math.add", "1.0.0", False, "")
        assert (await tools.run("math.far", {"point": {"x": -3}, "names": ["a"]})).decode(dict[str, int]) == {"a": 3}
        event = await seen.next()
    assert (event.tool, event.code, event.session, event.owner, event.agent) == (
        "math.add", "", "s-1", "anna", "teller",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({}, ""), ({"a": True}, "a"), ({"a": "secret"}, "a"), ({"a": 1.5}, "a"), ({"a": 1.0}, "a"), ({"a": None}, "a"),
        ({"a": 1, "secret text": 1}, ""), ({"a": float("nan")}, ""), ({"a": 10**5000}, ""), ({"a": "\ud800"}, ""),
        ({"a": {"secret"}}, "a"), ([1], ""), ("secret", ""), (None, ""), ({1: 2}, ""), ({"a": object()}, ""),
        (Odd(RuntimeError("secret")), ""), (Odd(SystemExit("secret")), ""),
    ],
)  # fmt: skip
async def test_arguments_that_don_t_fit_are_refused_without_a_word_of_them(
    adding: Kernel, arguments: Any, path: str
) -> None:
    with pytest.raises(ToolError) as caught:
        await adding.get(TOOLS).run("math.add", arguments)
    assert (caught.value.code, caught.value.path) == ("invalid_arguments", path)
    assert "math.add:1.0.0" in caught.value.detail
    assert "secret" not in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("raises", [RuntimeError("secret"), SystemExit("secret")])
async def test_a_result_that_equals_nothing_is_refused_and_not_quoted(raises: BaseException) -> None:
    counted = Counted(lambda number: Odd(raises))
    async with deployment(counted.tool) as kernel:
        error = await refused(kernel, "counted", {})
    assert error.code == "invalid_result"
    assert "secret" not in str(error)


async def test_a_name_that_no_text_can_hold_is_not_found_and_not_quoted(adding: Kernel) -> None:
    error = await refused(adding, "math.\ud800", {})
    assert error.code == "not_found"
    assert error.detail.isascii()


async def test_arguments_that_are_too_deep_or_too_long_are_refused(adding: Kernel) -> None:
    deep: Any = 1
    for _ in range(20_000):
        deep = [deep]
    assert (await refused(adding, "math.add", {"a": deep})).code == "invalid_arguments"
    assert (await refused(adding, "math.add", {"a": "x" * 70_000})).code == "too_large"


async def test_what_is_decided_about_is_what_is_called_with() -> None:
    given = {"number": 1}

    def decide(call: ToolCall) -> Decision:
        given["number"] = 2
        return Decision(effect="allow", rule="r", reason="", policy="")

    async with deployment(Counted().tool, policy=FakePolicy(decide)) as kernel:
        assert (await kernel.get(TOOLS).run("counted", given)).value == 1


async def test_a_call_that_the_policy_denies_learns_nothing_else() -> None:
    counted = Counted()
    async with deployment(counted.tool, policy=saying("deny")) as kernel:
        error = await refused(kernel, arguments={"wrong": 1})
        assert (error.code, error.retryable, counted.calls) == ("denied", False, 0)
        assert "r-1" in error.detail
        assert "because" in error.detail


@pytest.mark.parametrize(
    "policy",
    [
        lambda call: 1 / 0,
        lambda call: None,
        lambda call: "allow",
        lambda call: Decision(effect="allowed", rule="", reason="", policy=""),  # type: ignore[arg-type]
        lambda call: Decision(effect="allow", rule="", reason="", policy="", limits=None),  # type: ignore[arg-type]
    ],
    ids=["raises", "none", "text", "word", "limits"],
)
async def test_a_policy_that_is_broken_denies(policy: Any) -> None:
    counted = Counted()
    async with deployment(counted.tool, policy=FakePolicy(policy)) as kernel:
        assert (await refused(kernel)).code == "denied"
    assert counted.calls == 0


async def test_without_a_policy_everything_is_denied() -> None:
    counted = Counted()

    class Bringing(Plugin[NoConfig]):
        @hookimpl
        def tools(self) -> Any:
            return [counted.tool]

    async with running(PLUGINS, {"bringing": Bringing}) as kernel:
        assert (await refused(kernel)).code == "denied"
    assert counted.calls == 0


async def test_flags_of_a_session_are_read_where_the_policy_asks_for_them() -> None:
    policy = FakePolicy(flags=True)
    async with deployment(Counted().tool, policy=policy) as kernel:
        await set_flags(kernel.get(SESSIONS), "s-1", "anna", age_band="teen")
        for session, owner in (("s-1", "anna"), ("s-1", "bert"), ("s-2", "anna"), ("", "anna")):
            await kernel.get(TOOLS).run("counted", {}, session=session, owner=owner)
    flags = [call.session_flags for call in policy.calls]
    assert flags[0] is not None
    assert flags[0].age_band == "teen"
    assert flags[1:] == [None, None, None]


async def test_a_rate_holds_for_each_caller_and_tool() -> None:
    counted = Counted()
    policy = saying("allow", limits=Limits(rate=Rate(2, 60.0)))
    async with deployment(counted.tool, policy=policy) as kernel:
        tools = kernel.get(TOOLS)
        for _ in range(2):
            await tools.run("counted", {}, principal=CI)
        error = await refused(kernel, principal=CI)
        assert (error.code, error.retryable, counted.calls) == ("rate_limited", True, 2)
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 60
        await tools.run("counted", {})


async def test_so_many_calls_at_once_are_the_most() -> None:
    going, go = anyio.Event(), anyio.Event()

    async def wait() -> None:
        going.set()
        await go.wait()

    policy = saying("allow", limits=Limits(concurrency=1))
    async with deployment(Counted(lambda number: wait()).tool, policy=policy) as kernel:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kernel.get(TOOLS).run, "counted", {})
            await going.wait()
            assert (await refused(kernel)).code == "busy"
            go.set()
        await kernel.get(TOOLS).run("counted", {})


async def test_an_async_tool_is_cancelled_at_its_limit() -> None:
    ended = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    for idempotent in (False, True):
        counted = Counted(lambda number: hang(), timeout=0.05, idempotent=idempotent)
        async with deployment(counted.tool) as kernel:
            error = await refused(kernel)
            assert (error.code, error.retryable) == ("timed_out", idempotent)
            figures = (await kernel.get(TOOLS).figures())["counted:1.0.0"]
            assert figures.failures == {"timed_out": 1}
    assert ended == [True, True]


async def test_a_sync_tool_runs_once_and_off_the_loop() -> None:
    threads = []

    def work(number: int, progress: Reporter) -> int:
        """Work."""
        progress("half", 0.5)
        threads.append(threading.get_ident())
        return number

    seen: list[Progress] = []
    async with deployment(Tool.of(work, name="work", version="1.0.0", timeout=5)) as kernel:
        assert (await kernel.get(TOOLS).run("work", {"number": 3}, on_progress=seen.append)).value == 3
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
    assert seen == [Progress("half", 0.5)]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (float("nan"), "invalid_result"), (object(), "invalid_result"), ("\udc00", "invalid_result"),
        ("text", "invalid_result"), (True, "invalid_result"), ("x" * 300_000, "too_large"), (5, ""),
    ],
)  # fmt: skip
async def test_a_result_is_what_was_declared_or_an_error(result: Any, code: str) -> None:
    counted = Counted(lambda number: result, returns_schema={"type": "integer"})
    async with deployment(counted.tool) as kernel:
        if code:
            assert (await refused(kernel)).code == code
        else:
            assert (await kernel.get(TOOLS).run("counted", {})).value == 5


@pytest.mark.parametrize(("result", "kept"), [("ä" * 100, "ä" * 24), (["x" * 10] * 9, ["x" * 10] * 3)])
async def test_a_long_result_is_cut_where_the_tool_says_so(result: Any, kept: Any) -> None:
    counted = Counted(lambda number: result, max_output=50, output="cut")
    async with deployment(counted.tool) as kernel:
        done = await kernel.get(TOOLS).run("counted", {})
    assert done.value == kept
    assert done.note.startswith(f"cut to {len(kept)} of {len(result)}")


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict("checked", "safe"), ""),
        (Verdict("checked", "warning"), ""),
        (Verdict("checked", "blocked"), "denied"),
        (Verdict("failed"), "denied"),
        (Verdict("unchecked"), "denied"),
        (None, "denied"),
        ("nobody", "denied"),
    ],
)
async def test_what_may_reach_a_player_is_checked_first(verdict: Any, code: str) -> None:
    asked: list[tuple[str, str, str]] = []

    class Checking(Plugin[NoConfig]):
        @hookimpl
        async def check_text(self, text: str, channel: str, session: str) -> Any:
            asked.append((text, channel, session))
            return verdict

    counted = Counted(lambda number: {"said": ["a word"]}, told=True)
    async with deployment(counted.tool, more={} if verdict == "nobody" else {"checking": Checking}) as kernel:
        if code:
            error = await refused(kernel, session="s-1")
            assert (error.code, error.retryable) == (code, False)
            assert "a word" not in str(error)
        else:
            await kernel.get(TOOLS).run("counted", {}, session="s-1")
    assert asked in ([], [("said\na word", "tool", "s-1")])


async def test_a_key_makes_a_call_once() -> None:
    counted = Counted(lambda number: {"number": number})
    async with deployment(counted.tool) as kernel:
        tools = kernel.get(TOOLS)
        first = await tools.run("counted", {"number": 1}, key="k-1", owner="anna")
        again = await tools.run("counted", {"number": 1}, key="k-1", owner="anna")
        assert (first.value, first.repeated, again.value, again.repeated) == ({"number": 1}, False, {"number": 1}, True)
        assert (await refused(kernel, arguments={"number": 2}, key="k-1", owner="anna")).code == "conflict"
        await tools.run("counted", {"number": 1}, key="k-1", owner="bert")
        assert counted.calls == 2
        assert await tools.forget("anna") == 1
        await tools.run("counted", {"number": 1}, key="k-1", owner="anna")
        assert counted.calls == 3


@pytest.mark.parametrize("key", ["\ud800", "x" * 513, "a\nb"], ids=["surrogate", "long", "lines"])
async def test_a_key_is_a_text(key: str) -> None:
    counted = Counted()
    async with deployment(counted.tool) as kernel:
        assert (await refused(kernel, key=key)).code == "invalid_arguments"
        done = await kernel.get(TOOLS).run("counted", {}, key="k", session="\ud800")
    assert (done.value, counted.calls) == (0, 1)


async def test_a_call_that_failed_isn_t_made_again_under_its_key_unless_it_may_be() -> None:
    for idempotent, calls in ((False, 1), (True, 2)):
        counted = Counted(lambda number: 1 / 0, idempotent=idempotent)
        async with deployment(counted.tool) as kernel:
            codes = [(await refused(kernel, key="k-1")).code for _ in range(2)]
        assert (codes, counted.calls) == (["failed", "failed"], calls)


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_call_that_was_broken_off_is_in_doubt_unless_it_may_be_made_again(idempotent: bool) -> None:
    now = [1000.0]
    store = MemoryToolStore(lambda: now[0])
    going = anyio.Event()

    async def hang() -> None:
        going.set()
        await anyio.sleep_forever()

    counted = Counted(lambda number: hang() if counted.calls == 1 else number, idempotent=idempotent)
    async with deployment(counted.tool, without=("tools-memory",), services={TOOL_STORE: store}) as kernel:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: kernel.get(TOOLS).run("counted", {}, key="k"))
            await going.wait()
            tasks.cancel_scope.cancel()
        if idempotent:
            assert (await kernel.get(TOOLS).run("counted", {}, key="k")).value == 0
            return
        assert (await refused(kernel, key="k")).code == "busy"
        now[0] += 60
        error = await refused(kernel, key="k")
        assert (error.code, error.retryable, counted.calls) == ("in_doubt", False, 1)


async def test_results_are_used_again_by_the_same_person_in_the_same_session_only() -> None:
    counted = Counted(idempotent=True, cache_ttl=60)
    async with deployment(counted.tool) as kernel:
        tools = kernel.get(TOOLS)
        for owner, session, number in (("anna", "s-1", 1), ("anna", "s-1", 2), ("bert", "s-1", 1), ("anna", "s-2", 1)):
            for cached in (False, True):
                done = await tools.run("counted", {"number": number}, owner=owner, session=session)
                assert (done.value, done.cached) == (number, cached)
        assert counted.calls == 4
        assert await tools.forget("anna") == 3
        assert not (await tools.run("counted", {"number": 1}, owner="anna", session="s-1")).cached
        assert (await tools.figures())["counted:1.0.0"].cached == 4


async def test_shared_results_are_everybody_s() -> None:
    counted = Counted(idempotent=True, cache_ttl=60, shared=True)
    async with deployment(counted.tool) as kernel:
        await kernel.get(TOOLS).run("counted", {}, owner="anna")
        assert (await kernel.get(TOOLS).run("counted", {}, owner="bert", principal=CI)).cached


async def test_equal_calls_at_once_share_one_run_also_where_the_first_is_cancelled() -> None:
    go = anyio.Event()

    async def wait(number: int) -> int:
        await go.wait()
        return number

    counted = Counted(wait, idempotent=True)
    values = []
    async with deployment(counted.tool) as kernel:

        async def run() -> None:
            values.append((await kernel.get(TOOLS).run("counted", {"number": 7})).value)

        async with anyio.create_task_group() as tasks:
            first = anyio.CancelScope()

            async def cancelled() -> None:
                with first:
                    await run()

            tasks.start_soon(cancelled)
            await anyio.wait_all_tasks_blocked()
            for _ in range(5):
                tasks.start_soon(run)
            await anyio.wait_all_tasks_blocked()
            assert counted.calls == 1
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            go.set()
    assert (values, counted.calls) == ([7] * 5, 2)


class Even(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("is odd")


async def test_an_approval_is_not_spent_on_a_call_that_was_not_made() -> None:
    async def halve(even: Even) -> int:
        return even.number // 2

    halving = Tool.of(halve, name="halve", version="1.0.0", description="Halve a number.")
    async with deployment(halving, policy=saying("ask")) as kernel:
        tools = kernel.get(TOOLS)
        for number, left in ((3, "approved"), (4, "taken")):
            arguments = {"even": {"number": number}}
            error = await refused(kernel, "halve", arguments)
            await tools.decide(error.approval, approved=True, by="dr b")
            if left == "taken":
                assert (await tools.run("halve", arguments)).value == 2
            else:
                assert (await refused(kernel, "halve", arguments)).code == "invalid_arguments"
            statuses = {each.id: each.status for each in (await tools.approvals()).approvals}
            assert statuses[error.approval] == left


async def test_a_call_that_a_human_must_approve_is_made_once_that_is_done() -> None:
    counted = Counted()
    async with deployment(counted.tool, policy=saying("ask", approval_ttl=60.0)) as kernel:
        tools = kernel.get(TOOLS)
        asked: Mapping[str, Any] = {"session": "s-1", "owner": "anna", "agent": "teller", "principal": CI}
        error = await refused(kernel, arguments={"number": 3}, **asked)
        assert (error.code, error.retryable) == ("approval_required", False)
        assert (await refused(kernel, arguments={"number": 3}, **asked)).approval == error.approval
        for who in ("ci", "CI ", "key:ci", "anna", "teller", "", "x" * 300):
            with pytest.raises(ToolError):
                await tools.decide(error.approval, approved=True, by=who)
        decided = await tools.decide(error.approval, approved=True, by="dr b")
        assert (decided.status, decided.rule, decided.requester) == ("approved", "r-1", "key:ci")
        # Another call than the one that was approved asks anew.
        assert (await refused(kernel, arguments={"number": 4}, **asked)).approval != error.approval
        assert (
            await refused(kernel, arguments={"number": 3}, **{**asked, "owner": "bert"})
        ).code == "approval_required"
        assert counted.calls == 0
        assert (await tools.run("counted", {"number": 3}, **asked)).value == 3
        assert (await refused(kernel, arguments={"number": 3}, **asked)).approval != error.approval
        assert counted.calls == 1


async def test_a_call_that_a_human_refuses_is_denied() -> None:
    async with deployment(Counted().tool, policy=saying("ask")) as kernel:
        error = await refused(kernel)
        await kernel.get(TOOLS).decide(error.approval, approved=False, by="dr b")
        assert (await refused(kernel, key="k")).code == "denied"
        with pytest.raises(ToolError, match="no approval"):
            await kernel.get(TOOLS).decide("none", approved=True, by="dr b")


async def test_a_dry_run_says_what_is_in_the_way_and_calls_nothing() -> None:
    counted = Counted()
    policy = FakePolicy()
    async with deployment(counted.tool, policy=policy) as kernel:
        tools = kernel.get(TOOLS)
        fits = await tools.dry_run("counted", {"number": 1})
        wrong = await tools.dry_run("counted", {"number": "x"})
        policy.says = saying("deny").says
        denied = await tools.dry_run("counted", {"number": "x"})
        assert (fits.decision.effect, fits.problem) == ("allow", "")
        assert wrong.problem.startswith("invalid_arguments: ")
        assert (denied.decision.effect, denied.problem) == ("deny", "")
        assert await tools.figures() == {}
    assert (counted.calls, policy.calls) == (0, [])


@tool(name="math.double", version="1.0.0")
async def double(number: int, factor: int = 2) -> int:
    """Double a number."""
    return number * factor


async def test_a_tool_that_another_process_has_registered_runs_by_its_reference() -> None:
    store = MemoryToolStore(time.time)
    triple = double.bind(name="math.triple", version="1.0.0", bound={"factor": 3}, description="Triple it.")
    await store.register(triple.spec)
    async with deployment(without=("tools-memory",), services={TOOL_STORE: store}) as kernel:
        assert (await kernel.get(TOOLS).run("math.triple", {"number": 5})).value == 15
        assert (await refused(kernel, "math.triple", {"number": 5, "factor": 9})).code == "invalid_arguments"


@pytest.mark.parametrize(
    ("callable", "said"),
    [
        ("nowhere_at_all:tool", "can't be imported"), ("os:system", "is no tool"), (f"{__name__}:add", "is no tool"),
        (f"{__name__}:nothing", "can't be imported"), ("", "has no reference"),
    ],
)  # fmt: skip
async def test_a_tool_that_this_process_can_t_run_is_unavailable_and_says_who_can(callable: str, said: str) -> None:
    store = MemoryToolStore(time.time)
    reference = Reference(callable=callable) if callable else None
    await store.register(replace(double.spec, name="evil", reference=reference, owner="kg-plugin"))
    async with deployment(without=("tools-memory",), services={TOOL_STORE: store}) as kernel:
        error = await refused(kernel, "evil", {"number": 1})
    assert (error.code, error.retryable) == ("unavailable", True)
    assert said in error.detail
    if said != "is no tool":
        assert "kg-plugin" in error.detail


async def test_a_limit_of_memory_or_processor_needs_a_process_which_needs_a_reference() -> None:
    cases: list[tuple[dict[str, Any], Limits]] = [
        ({"memory": 2**26}, Limits()),
        ({"cpu_percent": 50}, Limits()),
        ({}, Limits(memory=2**26)),
        ({}, Limits(cpu_percent=50)),
    ]
    for declared, limits in cases:
        counted = Counted(**declared)
        async with deployment(policy=saying("allow", limits=limits)) as kernel:
            tools = kernel.get(TOOLS)
            if declared:
                with pytest.raises(ToolError, match="needs a reference"):
                    await tools.register(counted.tool)
                continue
            await tools.register(counted.tool)
            assert (await refused(kernel)).code == "unavailable"
        assert counted.calls == 0


@pytest.mark.parametrize("code", ["busy", "unavailable", "invalid_arguments", "rate_limited"])
async def test_a_tool_that_says_itself_that_nothing_was_done_is_not_called_again_under_its_key(code: Any) -> None:
    """By then it may have done something; only who runs it knows that it wasn't called."""

    def fails(number: int) -> Any:
        raise ToolError(code, "later")

    counted = Counted(fails)
    async with deployment(counted.tool) as kernel:
        said = [(await refused(kernel, key="k", owner="anna")).code for _ in range(2)]
    assert (said, counted.calls) == ([code, code], 1)


async def test_what_fits_in_none_of_several_ways_is_told_what_each_wants() -> None:
    async def either(a: int | str) -> int:
        """Take either."""
        return 1

    async with deployment(Tool.of(either, name="math.either", version="1.0.0")) as kernel:
        error = await refused(kernel, "math.either", {"a": [7]})
    assert (error.code, error.path) == ("invalid_arguments", "a")
    assert "must be " in str(error)
    assert "string" in str(error)
    assert "integer" in str(error)
    assert "7" not in str(error)
