"""What the policy costs a call of a tool, next to Cedar and to Microsoft's agent governance toolkit: see README.md.

What counts is processor time, but for audited decisions, which wait for a disk.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import cedarpy

from tta_audit import AUDIT, AuditFile
from tta_http import Principal
from tta_kernel import NoConfig, Plugin, hookimpl
from tta_kernel.testing import running
from tta_tool_policy import POLICY, Engine, ToolCall, ToolPolicy, read_policy
from tta_tools import TOOLS as TOOLS_SERVICE
from tta_tools import Tool, ToolsMemory, ToolsPlugin

ROOT = Path(__file__).parent.parent
TOOLKIT = ROOT / "build" / "bench-tools-agt" / "bin" / "python"
RULES, CALLERS, TOOLS, ROLES = 100, 1_000, 200, 10
LEAST, MOST = 0, 10**12
AT_ONCE = 2_000
"""How many calls wait for the record at the same time."""


class Workload:
    """Rules for two tools each, half of them with a predicate on an argument, and calls that never repeat one."""

    def __init__(self, seed: int = 15) -> None:
        self._random = random.Random(seed)
        self.callers = [Principal(f"caller-{n}", "key", (f"role-{n % ROLES}",)) for n in range(CALLERS)]
        self._number = 0

    def policy(self) -> str:
        """Return the policy as YAML."""
        lines = ["version: 1", "rules:"]
        for n in range(RULES):
            lines += [
                f"  - id: rule-{n}",
                "    effect: allow",
                f"    tools: ['tool{n}.*:1.*']",
                f"    roles: [role-{n % ROLES}]",
            ]
            if n % 2:
                lines.append(f"    arguments: {{n: {{type: integer, minimum: {LEAST}, maximum: {MOST}}}}}")
        return "\n".join([*lines, "...", ""])

    def cedar(self) -> str:
        """Return the same policy in Cedar; its groups stand for roles, and for patterns of tools."""
        found = []
        for n in range(RULES):
            when = f" when {{ context.n >= {LEAST} && context.n <= {MOST} }}" if n % 2 else ""
            scope = f'principal in Role::"role-{n % ROLES}", action == Action::"call", resource in Group::"tool{n}"'
            found.append(f"permit({scope}){when};")
        return "\n".join(found)

    def entities(self) -> list[dict[str, Any]]:
        """Return what Cedar must know of callers and tools."""
        callers = [
            {"uid": {"type": "User", "id": it.name}, "attrs": {}, "parents": [{"type": "Role", "id": it.roles[0]}]}
            for it in self.callers
        ]
        tools = [
            {
                "uid": {"type": "Tool", "id": f"tool{n % RULES}.{n // RULES}"},
                "attrs": {},
                "parents": [{"type": "Group", "id": f"tool{n % RULES}"}],
            }
            for n in range(TOOLS)
        ]
        return [*callers, *tools]

    def calls(self, count: int) -> list[ToolCall]:
        """Return calls; nine of ten are of a tool that their caller's role may use."""
        found = [*self._calls(count)]
        gc.freeze()  # They are the benchmark's own, and no system holds so many at a time.
        return found

    def _calls(self, count: int) -> Iterator[ToolCall]:
        for _ in range(count):
            self._number += 1
            caller = self._random.choice(self.callers)
            n = self._random.randrange(TOOLS)
            if self._random.random() < 0.9:
                n = n // ROLES * ROLES + int(caller.roles[0].removeprefix("role-"))
            yield ToolCall(
                tool=f"tool{n % RULES}.{n // RULES}", version="1.2.0", arguments={"n": self._number}, principal=caller
            )


def each(decide: Callable[[Any], object], calls: Sequence[Any]) -> list[int]:
    """Return the nanoseconds that each decision takes this thread."""
    clock = time.thread_time_ns
    took = []
    for call in calls:
        began = clock()
        decide(call)
        took.append(clock() - began)
    return took


def rate(decide: Callable[[Any], object], calls: Sequence[Any]) -> float:
    """Return decisions for each second of this thread."""
    began = time.thread_time()
    for call in calls:
        decide(call)
    return len(calls) / (time.thread_time() - began)


def percentile(took: Sequence[int], share: float) -> float:
    """Return microseconds."""
    return sorted(took)[int(len(took) * share)] / 1000


def requests(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Return calls as Cedar takes them."""
    return [
        {
            "principal": {"type": "User", "id": it.principal.name},
            "action": {"type": "Action", "id": "call"},
            "resource": {"type": "Tool", "id": it.tool},
            "context": {"n": it.arguments["n"]},
        }
        for it in calls
    ]


def agree(engine: Engine, cedar: Callable[[Any], Any], calls: Sequence[ToolCall]) -> None:
    """Stop where the two don't decide the same: what is compared must be one policy."""
    for call, request in zip(calls, requests(calls), strict=True):
        if engine.decide(call).allowed != cedar(request).allowed:
            raise SystemExit(f"Cedar decides otherwise about {call}")


def toolkit(calls: Sequence[ToolCall]) -> float | None:
    """Return the toolkit's decisions a second, from an environment of its own; None where nobody has made that."""
    if not TOOLKIT.exists():
        return None
    told = {
        "tools": [f"tool{n}" for n in range(RULES)],
        "calls": [[it.tool.split(".")[0], it.arguments["n"]] for it in calls],
    }
    done = subprocess.run(
        [TOOLKIT, ROOT / "bench" / "tools_agt.py"], input=json.dumps(told), capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


async def audited(policy: Path, calls: Sequence[ToolCall], folder: Path) -> tuple[float, float]:
    """Return decisions a second that waited until a disk had their records: by the clock, and by the processor."""
    configs = {"audit-file": {"folder": str(folder), "file_size": "1GB", "total_size": "10GB"}}
    async with running(
        ToolPolicy, AuditFile, config={"file": str(policy), "audit": "required"}, configs=configs
    ) as kernel:
        decide = kernel.get(POLICY).decide
        left = iter(calls)

        async def call_on_and_on() -> None:
            for call in left:
                await decide(call)

        async with anyio.create_task_group() as tasks:
            for call in calls[: 2 * CALLERS]:
                tasks.start_soon(decide, call)  # What is found out once for a caller, and for a tool, is known then.
        began, busy = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(call_on_and_on)
        took = time.perf_counter() - began, time.process_time() - busy
        assert {it.status for it in await kernel.get(AUDIT).verify()} == {"whole"}
    return len(calls) / took[0], len(calls) / took[1]


async def _add(a: int, b: int) -> int:
    return a + b


async def overhead(count: int, rounds: int) -> tuple[float, float]:
    """Return the microseconds of the processor that a call takes beyond the bare one, and that a look-up takes.

    The call goes through the policy, the schemas of arguments and result, the limits and the figures.
    """

    class Adding(Plugin[NoConfig]):
        @hookimpl
        def tools(self) -> Sequence[Tool]:
            return [Tool.of(_add, name="math.add", version="1.0.0", description="Add.")]

    plugins: dict[str, Any] = {"tools": ToolsPlugin, "tools-memory": ToolsMemory, "tool-policy": ToolPolicy}
    configs = {"tool-policy": {"preset": "permissive", "audit": "never"}}
    called, bare, found = [], [], []
    async with running({**plugins, "adding": Adding}, configs=configs) as kernel:
        tools = kernel.get(TOOLS_SERVICE)
        for _ in range(rounds):
            begun = time.process_time()
            for number in range(count):
                await tools.run("math.add", {"a": number, "b": 1})
            called.append(time.process_time() - begun)
            begun = time.process_time()
            for number in range(count):
                await _add(number, 1)
            bare.append(time.process_time() - begun)
            begun = time.process_time()
            for _ in range(count):
                await tools.get("math.add")
            found.append(time.process_time() - begun)
    # The least of all rounds: whatever else runs only adds to it.
    return (min(called) - min(bare)) / count * 1e6, min(found) / count * 1e6


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=100_000, help="decisions a round")
    options = parser.parse_args()
    work = Workload()
    policy = work.policy()
    engine = read_policy(policy, "bench")
    policies, entities = (
        cedarpy.PolicySet.from_str(work.cedar()),
        cedarpy.Entities.from_json_str(json.dumps(work.entities())),
    )

    def cedar(request: Any) -> Any:
        return cedarpy.is_authorized(request, policies, entities)

    agree(engine, cedar, work.calls(2_000))
    for call in work.calls(20_000):
        engine.decide(call)
    ours, theirs, toolkits, slow = [], [], [], []
    for _ in range(options.rounds):
        ours.append(rate(engine.decide, work.calls(options.count)))
        slow.append(percentile(each(engine.decide, work.calls(options.count)), 0.99))
        theirs.append(rate(cedar, requests(work.calls(options.count // 20))))
        if (found := toolkit(work.calls(options.count // 50))) is not None:
            toolkits.append(found)
    kept = []
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        file = Path(folder) / "policy.yaml"
        file.write_text(policy, encoding="utf-8")
        kept += [
            anyio.run(audited, file, work.calls(options.count), Path(folder) / str(number))
            for number in range(options.rounds)
        ]
    by_clock, by_processor = (median(each[which] for each in kept) for which in (0, 1))
    beyond, look_up = anyio.run(overhead, max(1, options.count // 20), options.rounds)
    rows = [
        ("decisions a second, 100 rules", f"{median(ours):,.0f}"),
        ("p99, µs", f"{median(slow):.1f}"),
        ("cedarpy, a second", f"{median(theirs):,.0f}"),
        ("agent governance toolkit, a second", f"{median(toolkits):,.0f}" if toolkits else "not installed"),
        ("audited, a second", f"{by_clock:,.0f}"),
        ("audited, by the second of the processor", f"{by_processor:,.0f}"),
    ]
    rows += [
        ("a call of a tool, beyond the bare one, µs", f"{beyond:.1f}"),
        ("looking a tool up, µs", f"{look_up:.2f}"),
    ]
    for name, value in rows:
        print(f"{name:45}{value:>15}")
    print(
        json.dumps(
            {
                "decisions_per_s": round(median(ours)),
                "p99_us": round(median(slow), 2),
                "ratio_cedar": round(median(ours) / median(theirs), 1),
                "ratio_toolkit": round(median(ours) / median(toolkits), 1) if toolkits else None,
                "audited_per_s": round(by_clock),
                "audited_per_cpu_s": round(by_processor),
                "overhead_us": round(beyond, 1),
                "look_up_us": round(look_up, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
