"""What it costs to tell five readers that something has happened, next to four rivals: see README.md."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from tta_kernel import Context, Event, Kernel, NoConfig, Plugin

READERS, BUFFER, BATCH = 5, 256, 200
ROUNDS = 9
EVENTS = 20_000
EVENTS_AUTOGEN = 2_000


class Ticked(Event, frozen=True, tag="bench.ticked"):
    """Something small has happened."""

    number: int


class Tally:
    """Counts deliveries, and says when a batch is through."""

    def __init__(self) -> None:
        self.left = 0
        self.done = anyio.Event()

    def expect(self) -> None:
        """Start a batch."""
        self.left, self.done = BATCH * READERS, anyio.Event()

    def take(self) -> None:
        """Count one delivery."""
        self.left -= 1
        if not self.left:
            self.done.set()


class Measured(NamedTuple):
    """Seconds per event in each round, and how many were lost."""

    seconds: list[float]
    dropped: int = 0


class Publisher(Plugin[NoConfig]):
    """Leaves its context where the benchmark finds it."""

    ctx: Context

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.ctx = ctx
        yield


async def pump(tally: Tally, publish: Callable[[Ticked], None]) -> list[float]:
    """Publish batches that fit the buffers, each awaited until the last reader has it; one figure a round."""
    found = []
    for _ in range(ROUNDS):
        begun = perf_counter()
        for _ in range(EVENTS // BATCH):
            tally.expect()
            for number in range(BATCH):
                publish(Ticked(number=number))
            await tally.done.wait()
        found.append((perf_counter() - begun) / EVENTS)
    return found


async def ours() -> Measured:
    """Publish through ``ctx.publish``, read with ``async for``."""
    tally = Tally()

    async def read(subscription: Any) -> None:
        async for _ in subscription:
            tally.take()

    async with Kernel(plugins={"publisher": Publisher}) as kernel, anyio.create_task_group() as tasks:
        publisher = kernel.records["publisher"].plugin
        assert isinstance(publisher, Publisher)
        subscriptions = [kernel.events.attach(Ticked, buffer=BUFFER) for _ in range(READERS)]
        for subscription in subscriptions:
            tasks.start_soon(read, subscription)
        seconds = await pump(tally, publisher.ctx.publish)
        for subscription in subscriptions:
            kernel.events.detach(subscription)
    return Measured(seconds, sum(subscription.dropped for subscription in subscriptions))


async def handled() -> Measured:
    """Publish through ``ctx.publish``, let five plugins handle it with ``ctx.on``."""
    tally = Tally()

    async def take(_: Ticked) -> None:
        tally.take()

    class Reader(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.on(Ticked, take, buffer=BUFFER)
            yield

    readers: dict[str, type[Plugin[Any]]] = {f"reader-{n}": Reader for n in range(READERS)}
    async with Kernel(plugins={"publisher": Publisher, **readers}) as kernel:
        publisher = kernel.records["publisher"].plugin
        assert isinstance(publisher, Publisher)
        seconds = await pump(tally, publisher.ctx.publish)
        return Measured(seconds, sum(each.dropped for each in kernel.events.subscriptions))


async def memory_streams() -> Measured:
    """Send to five bounded memory streams of anyio, without waiting: their quickest way."""
    tally = Tally()

    async def read(stream: MemoryObjectReceiveStream[Ticked]) -> None:
        with stream:
            async for _ in stream:
                tally.take()

    async with anyio.create_task_group() as tasks:
        pairs = [anyio.create_memory_object_stream[Ticked](BUFFER) for _ in range(READERS)]
        for _, receiving in pairs:
            tasks.start_soon(read, receiving)

        def send(event: Ticked) -> None:
            for sending, _ in pairs:
                sending.send_nowait(event)

        seconds = await pump(tally, send)
        for sending, _ in pairs:
            sending.close()
    return Measured(seconds)


async def queues() -> Measured:
    """Put into five bounded queues of asyncio."""
    tally = Tally()
    fan: list[asyncio.Queue[Ticked]] = [asyncio.Queue(BUFFER) for _ in range(READERS)]  # noqa: TID251  # the rival

    async def read(queue: Any) -> None:
        while True:
            await queue.get()
            tally.take()

    def put(event: Ticked) -> None:
        for queue in fan:
            queue.put_nowait(event)

    async with anyio.create_task_group() as tasks:
        for queue in fan:
            tasks.start_soon(read, queue)
        seconds = await pump(tally, put)
        tasks.cancel_scope.cancel()
    return Measured(seconds)


async def waiting_streams() -> Measured:
    """Send to five bounded memory streams of anyio, and wait for each: their documented way."""
    found = []
    for _ in range(ROUNDS):
        async with anyio.create_task_group() as tasks:
            pairs = [anyio.create_memory_object_stream[Ticked](BUFFER) for _ in range(READERS)]

            async def read(stream: MemoryObjectReceiveStream[Ticked]) -> None:
                with stream:
                    async for _ in stream:
                        pass

            for _, receiving in pairs:
                tasks.start_soon(read, receiving)
            begun = perf_counter()
            for number in range(EVENTS // 10):
                event = Ticked(number=number)
                for sending, _ in pairs:
                    await sending.send(event)
            for sending, _ in pairs:
                sending.close()
        found.append((perf_counter() - begun) / (EVENTS // 10))
    return Measured(found)


async def autogen() -> Measured:
    """Publish to five agents that subscribe to one topic of autogen-core's runtime."""
    import bus_autogen

    return Measured(await bus_autogen.run(READERS, EVENTS_AUTOGEN, ROUNDS))


def shown(name: str, measured: Measured) -> float:
    """Print a row, and return the microseconds that an event takes: the median of the rounds."""
    micros = median(measured.seconds) * 1e6
    low, high = (each(measured.seconds) * 1e6 for each in (min, max))
    rate = READERS * 1e6 / micros
    print(f"{name:34} {micros:9.2f} us  [{low:.2f}–{high:.2f}]  {rate:12,.0f} deliveries/s  {measured.dropped} dropped")
    return micros


def run(rows: Sequence[tuple[str, Callable[[], Awaitable[Measured]], str]]) -> dict[str, float]:
    """Run each on its event loop, and return the microseconds an event."""

    async def call(what: Callable[[], Awaitable[Measured]]) -> Measured:
        return await what()

    found = {}
    for name, what, backend in rows:
        measured = anyio.run(call, what, backend=backend)
        if measured.dropped:
            raise SystemExit(f"{name}: the readers did not keep up, {measured.dropped} events were dropped")
        found[name] = shown(name, measured)
    return found


def main() -> int:
    """Print a row for each, and the ratios as JSON."""
    rows: list[tuple[str, Callable[[], Awaitable[Measured]], str]] = [
        ("ours", ours, "asyncio"),
        ("ours, on trio", ours, "trio"),
        ("ours, ctx.on", handled, "asyncio"),
        ("anyio memory streams, send_nowait", memory_streams, "asyncio"),
        ("anyio memory streams, await send", waiting_streams, "asyncio"),
        ("asyncio.Queue", queues, "asyncio"),
    ]
    if importlib.util.find_spec("autogen_core"):
        rows.append(("autogen-core", autogen, "asyncio"))
    print(f"one event to {READERS} readers; the median of {ROUNDS} rounds [least–most]")
    micros = run(rows)
    base = micros["ours"]
    figures = {"deliveries_per_s": round(READERS * 1e6 / base), "dropped": 0}
    ratios = {
        "ratio_anyio": micros["anyio memory streams, send_nowait"] / base,
        "ratio_anyio_send": micros["anyio memory streams, await send"] / base,
        "ratio_asyncio_queue": micros["asyncio.Queue"] / base,
        "ratio_autogen": micros["autogen-core"] / base if "autogen-core" in micros else None,
        "ratio_trio": base / micros["ours, on trio"],
    }
    print(json.dumps(figures | {name: ratio and round(ratio, 2) for name, ratio in ratios.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
