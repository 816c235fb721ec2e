"""Calls of an agent in another process next to bare questions by message, in one run on one server: see README.md."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import anyio
import msgspec

from tta_agents import AGENTS, AgentId, AgentsMemory, AgentSpec, AgentsPlugin, StepContext
from tta_agents_redis import AgentsRedis
from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, hookimpl
from tta_messages import MESSAGES, Delivery, Message, MessagesPlugin, Requests, consume, respond
from tta_messages_redis import RedisMessagesPlugin
from tta_redis import REDIS, RedisPlugin
from tta_redis.testing import redis_server

CONCURRENCY = 16
SIZE = 200
LIMIT = 120.0
BATCH = 200


class Text(msgspec.Struct, frozen=True):
    """What is asked, and answered."""

    text: str


class Echo:
    """An agent that costs nothing itself."""

    spec = AgentSpec("echo", "says it again", Text, Text)

    async def process(self, request: Text, ctx: StepContext, /) -> Text:
        """Answer at once."""
        return Text(request.text)


class Types(Plugin[NoConfig]):
    """Declares the bare question, and its answer."""

    @hookimpl
    def message_types(self) -> Mapping[str, type[msgspec.Struct]]:
        """Return the one type."""
        return {"bench.text": Text}


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Kernel]:
    """Run what moves messages, and agents over them."""
    plugins: Mapping[str, type[Plugin[Any]]] = {
        "redis": RedisPlugin, "messages": MessagesPlugin, "messages-redis": RedisMessagesPlugin, "types": Types,
        "agents": AgentsPlugin, "agents-redis": AgentsRedis,
    }  # fmt: skip
    configs: dict[str, dict[str, Any]] = {
        "redis": {"url": url},
        "agents": {"auto_register": True, "concurrency": CONCURRENCY},
    }
    settings = KernelSettings(plugins={name: PluginSettings(config=config) for name, config in configs.items()})
    async with Kernel(settings, plugins=plugins) as kernel:
        yield kernel


async def serve(url: str) -> None:
    """Serve the agent, and answer bare questions, until killed."""
    async with running(url) as kernel, kernel.get(AGENTS).serve(Echo()):
        messages = kernel.get(MESSAGES)

        async def answer(delivery: Delivery) -> None:
            await respond(messages, delivery, "bench.text", delivery.message.decode(Text))

        print("ready", flush=True)
        await consume(messages, "bench.asked", answer, concurrency=CONCURRENCY)


async def ask(url: str, count: int, at_once: int) -> Mapping[str, Mapping[str, float]]:
    """Measure both ways in turn."""
    text = Text("x" * SIZE)
    async with running(url) as kernel, anyio.create_task_group() as tasks:
        agents, redis = kernel.get(AGENTS), kernel.get(REDIS)
        requests = Requests(kernel.get(MESSAGES), "bench.answers")
        tasks.start_soon(requests.run)

        async def call(key: str) -> None:
            await agents.call(AgentId("echo"), text, key=key)

        async def question(key: str) -> None:
            await requests.ask(Message.to("bench.asked", "bench.text", text))

        async def scripts() -> int:
            stats: Any = await redis.client.info("commandstats")
            return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))

        found: dict[str, dict[str, float]] = {}
        for name, one in (("bare", question), ("calls", call)):
            await several(one, f"{name}-warm", 200, 10)
            before = await scripts()
            times = await several(one, f"{name}-one", count, 1)
            between = await scripts()
            began = perf_counter()
            await several(one, f"{name}-many", 5 * count, at_once)
            took = perf_counter() - began
            after = await scripts()
            found[name] = {
                "p50_ms": median(times) * 1e3, "p95_ms": sorted(times)[int(len(times) * 0.95)] * 1e3,
                "scripts_alone": (between - before) / count, "rate": 5 * count / took,
                "scripts_at_once": (after - between) / (5 * count),
            }  # fmt: skip
        tasks.cancel_scope.cancel()
    return found


async def alone(count: int) -> Mapping[str, float]:
    """Measure calls of an agent that the calling process serves itself, in µs of its processor's time for one."""
    text = Text("x" * SIZE)
    async with Kernel(plugins={"agents": AgentsPlugin, "agents-memory": AgentsMemory}) as kernel:
        agents = kernel.get(AGENTS)
        async with agents.serve(Echo()):
            batches: list[float] = []
            for batch in range(count // BATCH):
                began = process_time()
                for number in range(BATCH):
                    await agents.call(AgentId("echo"), text, key=f"{batch}-{number}")
                batches.append((process_time() - began) / BATCH * 1e6)
    # The quickest: whatever else the machine does makes the others slower, and is none of ours.
    return {"quickest_us": min(batches), "median_us": median(batches)}


async def several(one: Callable[[str], Awaitable[None]], name: str, count: int, at_once: int) -> Sequence[float]:
    """Do something so often, so many at once; return how long each took."""
    times: list[float] = []
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            began = perf_counter()
            await one(f"{name}-{number}-{os.getpid()}")
            times.append(perf_counter() - began)

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(work)
    return times


def measure(where: Path | None, count: int, at_once: int) -> dict[str, dict[str, float]]:
    """Measure once, on a server of its own; ``where`` is another checkout, whose agents are taken."""
    environment = dict(os.environ)
    if where is not None:
        sources = [str(where / "plugins" / name / "src") for name in ("agents", "agents-redis")]
        environment["PYTHONPATH"] = os.pathsep.join([*sources, environment.get("PYTHONPATH", "")])
    with redis_server(own=True) as server, tempfile.TemporaryFile("w+") as log:
        command = [
            sys.executable,
            __file__,
            "--url",
            server.config().url,
            "--count",
            str(count),
            "--at-once",
            str(at_once),
        ]
        serving = subprocess.Popen([*command, "--role", "serve"], env=environment, stdout=subprocess.PIPE, stderr=log)
        try:
            assert serving.stdout is not None
            if serving.stdout.readline() != b"ready\n":
                log.seek(0)
                raise SystemExit(f"the serving side did not start:\n{log.read()[-3000:]}")
            done = {
                role: subprocess.run(
                    [*command, "--role", role], env=environment, stdout=subprocess.PIPE, timeout=4 * LIMIT, check=True
                )
                for role in ("ask", "alone")
            }
        finally:
            serving.send_signal(signal.SIGKILL)
            serving.wait(10)
    found: dict[str, dict[str, float]] = json.loads(done["ask"].stdout)
    return {**found, "alone": json.loads(done["alone"].stdout)}


def main() -> None:
    """Measure in turn, show the medians, and end with a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--other", type=Path, help="another checkout of this repository, to compare with")
    parser.add_argument("--role", choices=["serve", "ask", "alone"])
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    if options.role == "serve":
        anyio.run(serve, options.url)
    elif options.role == "ask":
        print(json.dumps(anyio.run(ask, options.url, options.count, options.at_once)))
    elif options.role == "alone":
        print(json.dumps(anyio.run(alone, 50 * options.count)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    """Show it."""
    places = {"this": None} | ({"other": options.other} if options.other else {})
    runs: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in places}
    for _ in range(options.rounds):
        for name, where in places.items():
            runs[name].append(measure(where, options.count, options.at_once))
    results = {}
    many = 5 * options.count
    print(f"medians of {options.rounds} rounds: {options.count} one by one, {many} by {options.at_once} at once")
    print(f"{'':16} {'p50 ms':>8} {'p95 ms':>8} {'scripts':>8} {'calls/s':>8} {'scripts':>8}")
    for name, found in runs.items():
        for way in ("bare", "calls"):
            figures = {key: median(each[way][key] for each in found) for key in found[0][way]}
            results[f"{name} {way}"] = {key: round(value, 3) for key, value in figures.items()}
            print(f"{name + ' ' + way:16} " + " ".join(
                f"{figures[key]:8.{digits}f}" for key, digits in
                (("p50_ms", 2), ("p95_ms", 2), ("scripts_alone", 1), ("rate", 0), ("scripts_at_once", 1))
            ))  # fmt: skip
        ratios = {
            "ratio_p50": median(each["calls"]["p50_ms"] / each["bare"]["p50_ms"] for each in found),
            "ratio_rate": median(each["calls"]["rate"] / each["bare"]["rate"] for each in found),
        }
        within = {key: median(each["alone"][key] for each in found) for key in found[0]["alone"]}
        results[f"{name} alone"] = {key: round(value, 2) for key, value in within.items()}
        print(f"{name + ' alone':16} {within['quickest_us']:8.1f} µs a call within one process")
        results[f"{name} ratios"] = {key: round(value, 3) for key, value in ratios.items()}
        print(f"{name + ' ratios':16} p50 x {ratios['ratio_p50']:.2f}, rate x {ratios['ratio_rate']:.2f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
