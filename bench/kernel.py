"""What the kernel costs, next to bare rivals that run in turn with it: see README.md."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from tta_kernel import Context, Event, Kernel, NoConfig, Plugin, Service, hookimpl, hookspec

GOAL = 1.6
IMPORTS, STARTS, REPEATS = 21, 21, 7
LEVELS, WIDTH = 10, 5
READERS, BUFFER, BATCH, BATCHES = 5, 256, 128, 40
ANSWERERS, CALLS = 5, 2000


# The CPU time of importing.


def cpu_seconds(code: str) -> float:
    """Return the user and system time of a fresh interpreter that runs ``code``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def importing() -> dict[str, float]:
    """Import the kernel and asyncio in turn, less what the interpreter takes to start."""
    codes = ("pass", "import asyncio", "import tta_kernel")
    for code in codes:
        cpu_seconds(code)  # Writes the bytecode, warms the disk cache.
    rounds = [[cpu_seconds(code) for code in codes] for _ in range(IMPORTS)]
    bare, rival, kernel = (median(column) * 1000 for column in zip(*rounds, strict=True))
    return {"import_interpreter_ms": bare} | compared("import", "ms", kernel - bare, rival - bare)


# Starting and stopping.


def linked(key: Service[str], needed: tuple[Service[str], ...]) -> type[Plugin[NoConfig]]:
    """Return a plugin that provides one service and requires these."""

    class Link(Plugin[NoConfig]):
        provides = (key,)
        requires = needed

        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            for each in needed:
                ctx.get(each)
            ctx.provide(key, key.name)
            yield

    return Link


def chains() -> dict[str, type[Plugin[NoConfig]]]:
    """Return WIDTH chains of LEVELS plugins, in which each requires the one before it."""
    found: dict[str, type[Plugin[NoConfig]]] = {}
    for column in range(WIDTH):
        needed: tuple[Service[str], ...] = ()
        for level in range(LEVELS):
            key = Service[str](f"bench-{column}-{level}")
            found[f"bench-{column}-{level}"] = linked(key, needed)
            needed = (key,)
    return found


@asynccontextmanager
async def bare_lifespan(offers: dict[int, str], number: int) -> AsyncIterator[None]:
    """Do without a kernel what a plugin of a chain does."""
    offers[number] = str(number)
    yield
    del offers[number]


async def starting() -> dict[str, float]:
    """Start and stop the chains, and as many bare context managers."""
    plugins = chains()
    samples: list[tuple[float, ...]] = []
    for _ in range(STARTS):
        at = [perf_counter()]
        kernel = Kernel(plugins=plugins)
        at.append(perf_counter())
        async with kernel:
            at.append(perf_counter())
            running = sum(record.state == "running" for record in kernel.records.values())
            at.append(perf_counter())
        at.append(perf_counter())
        if running != LEVELS * WIDTH or len(kernel.wiring.levels) != LEVELS:
            raise RuntimeError(f"{running} plugins ran, in {len(kernel.wiring.levels)} levels")
        offers: dict[int, str] = {}
        async with AsyncExitStack() as stack:
            for number in range(LEVELS * WIDTH):
                await stack.enter_async_context(bare_lifespan(offers, number))
            at.append(perf_counter())
        at.append(perf_counter())
        wire, start, _, stop, bare_start, bare_stop = (b - a for a, b in pairwise(at))
        samples.append((wire, start, stop, bare_start, bare_stop))
    wire, start, stop, bare_start, bare_stop = (median(column) * 1000 for column in zip(*samples, strict=True))
    figures = {"wire_ms": wire} | compared("start", "ms", start, bare_start)
    return figures | compared("stop", "ms", stop, bare_stop)


# Events.


class Ticked(Event, frozen=True, tag="bench.ticked"):
    """Something small has happened."""

    number: int


class Tally:
    """Counts deliveries, and says when a batch is through."""

    def __init__(self) -> None:
        self.left = 0
        self.done = anyio.Event()

    def expect(self, deliveries: int) -> None:
        """Start a batch."""
        self.left, self.done = deliveries, anyio.Event()

    async def take(self, event: Ticked) -> None:
        """Handle one delivery."""
        self.left -= 1
        if not self.left:
            self.done.set()


class Publisher(Plugin[NoConfig]):
    """Leaves its context where the benchmark finds it."""

    ctx: Context

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.ctx = ctx
        yield


def reader(tally: Tally) -> type[Plugin[NoConfig]]:
    """Return a plugin that listens."""

    class Reader(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.on(Ticked, tally.take, buffer=BUFFER)
            yield

    return Reader


async def pump(tally: Tally, publish: Callable[[Ticked], None]) -> float:
    """Publish batches that fit the buffers, and return the seconds per event until all are handled."""
    begun = perf_counter()
    for _ in range(BATCHES):
        tally.expect(BATCH * READERS)
        for number in range(BATCH):
            publish(Ticked(number=number))
        await tally.done.wait()
    return (perf_counter() - begun) / (BATCH * BATCHES)


async def eventing() -> dict[str, float]:
    """Publish to plugins that listen, and to the readers of bare memory streams."""
    tally = Tally()
    plugins: dict[str, type[Plugin[NoConfig]]] = {f"reader-{n}": reader(tally) for n in range(READERS)}

    async def read(stream: MemoryObjectReceiveStream[Ticked]) -> None:
        with stream:
            async for event in stream:
                await tally.take(event)

    async with Kernel(plugins=plugins | {"publisher": Publisher}) as kernel, anyio.create_task_group() as tasks:
        publisher = kernel.records["publisher"].plugin
        if not isinstance(publisher, Publisher):
            raise TypeError("the kernel runs another publisher")
        pairs = [anyio.create_memory_object_stream[Ticked](BUFFER) for _ in range(READERS)]
        for _, receiving in pairs:
            tasks.start_soon(read, receiving)

        def send(event: Ticked) -> None:
            for sending, _ in pairs:
                sending.send_nowait(event)

        samples = [(await pump(tally, publisher.ctx.publish), await pump(tally, send)) for _ in range(REPEATS)]
        for sending, _ in pairs:
            sending.close()
        if dropped := sum(subscription.dropped for subscription in kernel.events.subscriptions):
            raise RuntimeError(f"the readers did not keep up: {dropped} events dropped")
    event, bare = (median(column) * 1e6 for column in zip(*samples, strict=True))
    return compared("event", "us", event, bare) | {"deliveries_per_s": READERS * 1e6 / event}


# Hooks.


@hookspec()
def bench_plain(number: int) -> int:
    """Answer at once."""
    raise AssertionError("a specification is never called")


@hookspec()
async def bench_async(number: int) -> int:
    """Answer without waiting for anything."""
    raise AssertionError("a specification is never called")


class Answerer(Plugin[NoConfig]):
    """Answers both hooks."""

    hookspecs = sys.modules[__name__]

    @hookimpl
    def bench_plain(self, number: int) -> int:
        """Answer at once."""
        return number + 1

    @hookimpl
    async def bench_async(self, number: int) -> int:
        """Answer without waiting for anything."""
        return number + 1


def timed(call: Callable[[int], Mapping[str, object]]) -> float:
    """Return the seconds that one call takes."""
    begun = perf_counter()
    for number in range(CALLS):
        call(number)
    return (perf_counter() - begun) / CALLS


async def timed_async(call: Callable[[int], Awaitable[Mapping[str, object]]]) -> float:
    """Return the seconds that one awaited call takes."""
    begun = perf_counter()
    for number in range(CALLS):
        await call(number)
    return (perf_counter() - begun) / CALLS


async def asking() -> dict[str, float]:
    """Ask plugins, and the same functions without a kernel between."""
    bare = {f"answerer-{n}": Answerer(NoConfig()) for n in range(ANSWERERS)}

    async def bare_ask(number: int) -> Mapping[str, object]:
        return {name: await plugin.bench_async(number) for name, plugin in bare.items()}

    async with Kernel(plugins=dict.fromkeys(bare, Answerer)) as kernel:
        wanted = dict.fromkeys(bare, 2)
        if kernel.hooks.collect(bench_plain, 1) != wanted or await kernel.ask(bench_async, 1) != wanted:
            raise RuntimeError("the plugins answer something else")
        samples = [
            (
                timed(lambda number: kernel.hooks.collect(bench_plain, number)),
                timed(lambda number: {name: plugin.bench_plain(number) for name, plugin in bare.items()}),
                await timed_async(lambda number: kernel.ask(bench_async, number)),
                await timed_async(bare_ask),
            )
            for _ in range(REPEATS)
        ]
    collect, calls, ask, awaits = (median(column) * 1e6 for column in zip(*samples, strict=True))
    return compared("collect", "us", collect, calls) | compared("ask", "us", ask, awaits)


# What comes of it.


def compared(name: str, unit: str, kernel: float, bare: float) -> dict[str, float]:
    """Return the three figures of one comparison."""
    return {f"{name}_{unit}": kernel, f"{name}_bare_{unit}": bare, f"{name}_ratio": kernel / bare}


def line(figures: Mapping[str, Any], title: str, name: str, unit: str, rival: str, more: str = "") -> None:
    """Print one comparison."""
    kernel, bare = figures[f"{name}_{unit}"], figures[f"{name}_bare_{unit}"]
    print(f"{title:<42} {kernel:9.3f} {unit}  {rival}: {bare:8.3f} {unit}  ratio {figures[f'{name}_ratio']:7.2f}{more}")


def main() -> int:
    """Measure everything and print it, for eyes first and as JSON in the last line."""
    figures = importing()
    for measure in (starting, eventing, asking):
        figures |= anyio.run(measure)
    met = figures["import_ratio"] <= GOAL
    verdict = f"  (goal <= {GOAL}: {'met' if met else 'missed'})"
    print(f"CPython {platform.python_version()} on {platform.system()} {platform.machine()}; medians")
    line(figures, "import tta_kernel, CPU time", "import", "ms", "import asyncio", verdict)
    print(f"{f'wiring of {LEVELS * WIDTH} plugins':<42} {figures['wire_ms']:9.3f} ms")
    line(figures, f"start of {LEVELS * WIDTH} plugins, {LEVELS} levels", "start", "ms", "context managers")
    line(figures, "stop of them", "stop", "ms", "context managers")
    rate = f"  {figures['deliveries_per_s']:,.0f} deliveries/s"
    line(figures, f"event to {READERS} subscribers", "event", "us", "memory streams", rate)
    line(figures, f"plain hook of {ANSWERERS} plugins, collect", "collect", "us", "function calls")
    line(figures, f"async hook of {ANSWERERS} plugins, ask", "ask", "us", "awaits")
    print(json.dumps({name: round(value, 4) for name, value in figures.items()} | {"import_goal_met": met}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
