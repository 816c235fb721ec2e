"""The plugin: how it starts, whom it asks, what it records, and what of it can be seen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tta_audit import AUDIT, Audit, AuditError, AuditMemory, Entry, MemoryAudit, Record
from tta_http import HttpPlugin, HttpProblem, Principal
from tta_http.testing import Caller
from tta_kernel import ConfigError, Context, NoConfig, Plugin, hookimpl
from tta_kernel.hookspecs import snapshot
from tta_kernel.testing import LIMIT, Outcome, Stranger, problems, running, strangers
from tta_metrics import METRICS, MetricsPlugin
from tta_program import LayeredSettings, load
from tta_program.reloading import reload
from tta_tool_policy import POLICY, Config, Decision, Limits, Rate, ToolCall, ToolPolicy
from tta_tool_policy.reading import Overrides
from tta_tool_policy.recording import ARGUMENTS, DECISION

CALL = ToolCall(tool="dice", version="1.0.0")
RULE = "version: 1\nrules:\n  - {id: dice, effect: allow, tools: [dice], timeout: 5}\n...\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(RULE)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


async def effect(kernel: Any, call: ToolCall = CALL) -> str:
    found: Decision = await kernel.get(POLICY).decide(call)
    return f"{found.effect} {found.rule} {found.reason}"


async def test_without_a_file_it_denies_everything() -> None:
    async with running(ToolPolicy) as kernel:
        assert await effect(kernel) == "deny default no-rule"


def test_what_is_set_wrongly_is_refused_before_anything_starts(tmp_path: Path) -> None:
    assert problems(ToolPolicy, config={"colour": "blue"})[0].startswith("plugins.tool-policy.config.colour: ")
    [missing] = problems(ToolPolicy, config={"file": str(tmp_path / "none.yaml")})
    assert "none.yaml: cannot be read: No such file" in missing
    [unrecorded] = problems(ToolPolicy, config={"audit": "required"})
    assert "no plugin keeps the record" in unrecorded


async def test_with_a_broken_file_it_does_not_start_and_where_it_may_fail_nobody_provides_a_policy(file: Path) -> None:
    write(file, RULE[:-4])
    config = {"file": str(file)}
    with pytest.raises(ConfigError, match="nobody knows whether it is whole"):
        running(ToolPolicy, config=config).check()
    with pytest.raises(ConfigError, match="nobody knows whether it is whole"):
        async with running(ToolPolicy, config=config):
            pass
    async with running(ToolPolicy, config=config, optional=["tool-policy"]) as kernel:
        assert kernel.records["tool-policy"].state.value == "failed"
        with pytest.raises(Exception, match="tool-policy"):
            kernel.get(POLICY)


def test_the_predecessors_variables_set_the_defaults_and_nothing_else(tmp_path: Path, file: Path) -> None:
    (tmp_path / "base.yaml").write_text("plugins: {}")
    (tmp_path / "testing.yaml").write_text("")

    def read(**environ: str) -> Config:
        given = load(tmp_path, "testing", {f"TTA_{name}": text for name, text in environ.items()})
        return given.decode("tool-policy", Config)

    config = read(
        TOOL_POLICY_CONFIG=str(file), ALLOWED_CALLABLES="a.b, c.d", ALLOW_NETWORK_TOOLS="yes",
        ALLOW_FILESYSTEM_TOOLS="0", TOOL_TIMEOUT_MS="250", TOOL_MAX_CONCURRENCY="3", TOOL_CPU_LIMIT_PERCENT="50",
        TOOL_MEMORY_LIMIT_MB="64",
    )  # fmt: skip
    assert config.source == file
    assert config.overrides == Overrides(
        network=True, filesystem=False, callables=("a.b", "c.d"), timeout=0.25, concurrency=3, cpu_percent=50,
        memory=64_000_000,
    )  # fmt: skip
    assert read().overrides == Overrides()
    assert read(ALLOWED_CALLABLES="").overrides == Overrides(callables=())
    for text, truth in [("1", True), ("true", True), ("y", True), ("on", True), ("no", False), ("n", False)]:
        assert read(ALLOW_PROCESS_TOOLS=text).overrides.process is truth
    with pytest.raises(ConfigError):
        read(ALLOW_PROCESS_TOOLS="maybe")


@pytest.mark.boundary("tta_tool_policy.decide_tool_call")
@pytest.mark.parametrize("stranger", strangers(returns=Decision | None, answer=None), ids=str)
async def test_whatever_another_engine_does_it_opens_nothing(stranger: Stranger, file: Path) -> None:
    class Odd(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        async def decide_tool_call(self, call: ToolCall) -> Any:
            return await stranger()

    settings = LayeredSettings(hook_timeouts={"decide_tool_call": LIMIT})
    async with running(ToolPolicy, Odd, config={"file": str(file)}, settings=settings) as kernel:
        policy = kernel.get(POLICY)
        if stranger.outcome is Outcome.STOP:
            with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
                await policy.decide(CALL)
            return
        decision = await policy.decide(CALL)
        if stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT):
            assert (decision.effect, decision.rule) == ("deny", "hook:odd")
        assert (await policy.decide(msgspec.structs.replace(CALL, tool="other"))).rule == "default"


async def test_another_engine_makes_it_stricter_and_opens_nothing(file: Path) -> None:
    class Opa(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        async def decide_tool_call(self, call: ToolCall) -> Decision | None:
            if call.agent == "shy":
                return Decision(effect="ask", rule="p1", reason="shy", policy="x", limits=Limits(rate=Rate(1, 60.0)))
            return None if call.agent else Decision(effect="allow", rule="p2", reason="ok", policy="x")

    async with running(ToolPolicy, Opa, config={"file": str(file)}) as kernel:
        assert await effect(kernel) == "allow dice rule"
        assert await effect(kernel, msgspec.structs.replace(CALL, tool="other")) == "deny default no-rule"
        asked = await kernel.get(POLICY).decide(msgspec.structs.replace(CALL, agent="shy"))
    assert (asked.effect, asked.rule) == ("ask", "hook:opa:p1")
    assert asked.limits == Limits(timeout=5.0, rate=Rate(1, 60.0))


async def records(audit: Audit, what: str = DECISION) -> Sequence[Record]:
    return await audit.read(what=what)


async def test_each_decision_is_recorded_and_arguments_only_where_the_tool_says_so(file: Path) -> None:
    secret = {"sides": 6, "note": "what a person wrote"}
    call = ToolCall(tool="dice", version="1.0.0", arguments=secret, owner="anna", principal=Principal("bo", "key"))
    async with running(ToolPolicy, AuditMemory, config={"file": str(file)}) as kernel:
        await kernel.get(POLICY).decide(call)
        await kernel.get(POLICY).decide(msgspec.structs.replace(call, tool="other"))
        await kernel.get(POLICY).decide(msgspec.structs.replace(call, audit=True))
        kept, denied, allowed = await records(kernel.get(AUDIT))
        hash = kernel.get(POLICY).status().hash
        assert [each.status for each in await kernel.get(AUDIT).verify()] == ["whole"]
    assert (allowed.who, allowed.target, allowed.outcome, allowed.code) == ("bo", "dice:1.0.0", "done", "")
    assert allowed.details == {
        "tta.policy.effect": "allow", "tta.policy.rule": "dice", "tta.policy.hash": hash,
    }  # fmt: skip
    assert (denied.outcome, denied.code, denied.details["tta.policy.rule"]) == ("refused", "no-rule", "default")
    assert json.loads("".join(kept.details[ARGUMENTS])) == secret  # type: ignore[arg-type]
    assert "wrote" not in repr((denied, allowed))
    assert "anna" not in repr((denied, allowed))


@pytest.mark.parametrize("fault", ["raises", "hangs", "is of before"])
async def test_what_can_not_be_recorded_is_not_allowed_and_health_says_so(fault: str, file: Path) -> None:
    class Odd(MemoryAudit):
        async def record_all(self, entries: Sequence[Entry]) -> None:
            if fault == "hangs":
                await anyio.sleep_forever()
            if fault == "raises":
                raise AuditError("the disk is full")
            raise AttributeError("record_all")

    class OddAudit(Plugin[NoConfig]):
        provides = (AUDIT,)

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(AUDIT, Odd())
            yield

    config = {"file": str(file), "audit_timeout": LIMIT}
    async with running(ToolPolicy, OddAudit, MetricsPlugin, config=config) as kernel:
        assert await effect(kernel) == "deny policy unrecorded"
        health = await kernel.health()
        assert health["tool-policy"].status == "failing"
        counted = kernel.get(METRICS).find("tta_tool_policy_unrecorded_total")
        assert counted is not None
        assert [each.value for each in counted.series().values()] == [1]


async def test_many_decisions_are_recorded_at_once_and_a_call_that_is_none_keeps_no_other_from_it(file: Path) -> None:
    odd: Any = [ToolCall(tool=5, version="1"), ToolCall(tool="dice", version="1.0.0", owner=5, session=b"x")]  # type: ignore[arg-type]
    async with running(ToolPolicy, AuditMemory, config={"file": str(file)}) as kernel:
        found: list[Decision] = []

        async def decide(call: ToolCall) -> None:
            found.append(await kernel.get(POLICY).decide(call))

        async with anyio.create_task_group() as tasks:
            for each in [*odd, *[CALL] * 50]:
                tasks.start_soon(decide, each)
        assert len(await records(kernel.get(AUDIT))) == 52
    assert sum(each.allowed for each in found) == 51


async def test_a_policy_is_shown_without_secrets_and_loaded_again_whole_or_not_at_all(file: Path) -> None:
    write(file, RULE.replace("timeout: 5", "arguments: {api_key: {in: [hunter2]}, sides: {maximum: 6}}"))
    async with running(ToolPolicy, HttpPlugin, AuditMemory, config={"file": str(file)}) as kernel:
        caller = Caller(kernel.hooks)
        shown = await caller.get("/policy")
        assert "hunter2" not in json.dumps(shown)
        assert shown["policy"]["rules"][0]["arguments"]["sides"] == {"maximum": 6}
        assert "hunter2" not in repr(await kernel.ask(snapshot))
        assert shown["hash"] in repr(await kernel.ask(snapshot))

        write(file, RULE)
        assert (await caller.post("/policy/reload"))["ok"]
        good = await caller.get("/policy/status")
        assert (good["rules"], good["source"], good["watching"]) == (1, str(file), False)
        write(file, RULE.replace("allow", "[]"))
        with pytest.raises(HttpProblem) as caught:
            await caller.post("/policy/reload")
        assert caught.value.type.code == "conflict"
        bad = await caller.get("/policy/status")
        assert (bad["hash"], [each["ok"] for each in bad["reloads"]]) == (good["hash"], [True, True, False])
        health = await kernel.health()
        assert (health["tool-policy"].status, health["tool-policy"].since) == ("degraded", bad["degraded_since"])
        assert await effect(kernel) == "allow dice rule"

        told = await caller.post("/policy/validate", {"text": RULE.replace("allow", "permit")})
        assert not told["ok"]
        assert "the policy:3: rule dice: effect" in told["problems"][0]
        assert (await caller.post("/policy/validate", {"text": '{"version": 1}', "format": "json"}))["ok"]
        loads = [each.outcome for each in await records(kernel.get(AUDIT), "policy.load")]
        assert loads == ["failed", "done", "done"]
        with pytest.raises(HttpProblem):
            await Caller(kernel.hooks, Principal("bo", "key")).post("/policy/reload")


async def test_a_hangup_takes_another_file_over_and_a_bad_one_changes_nothing(tmp_path: Path, file: Path) -> None:
    (tmp_path / "base.yaml").write_text(f"plugins: {{tool-policy: {{config: {{file: {file}}}}}}}")
    (tmp_path / "testing.yaml").write_text("kernel: {autoload: false}")
    settings = load(tmp_path, "testing", {})
    async with running(ToolPolicy, config={"file": str(file)}) as kernel:
        settings = msgspec.structs.replace(settings, plugins=kernel.settings.plugins)
        assert (await reload(kernel, settings)).changed == []
        write(file, RULE.replace("dice", "cube"))
        assert (await reload(kernel, settings)).changed == ["tool-policy"]
        assert await effect(kernel) == "deny default no-rule"
        write(file, RULE[:-4])
        with pytest.raises(ConfigError, match="nobody knows whether it is whole"):
            await reload(kernel, settings)
        assert (await kernel.health())["tool-policy"].status == "degraded"
        assert await effect(kernel, msgspec.structs.replace(CALL, tool="cube")) == "allow cube rule"
