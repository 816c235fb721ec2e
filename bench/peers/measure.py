"""What every side of the messages benchmark does alike: payloads, counting, and the report."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

URL = os.environ["BENCH_REDIS"]
COUNT = int(os.environ["BENCH_COUNT"])
BATCH = int(os.environ.get("BENCH_BATCH", "1"))
ROLE, MODE = sys.argv[1], sys.argv[2]
REPORT = Path(os.environ["BENCH_REPORT"])
RATE = 100
"""Messages a second at light load."""

One = Callable[[str], Awaitable[Any]]
Many = Callable[[Sequence[str]], Awaitable[Any]]

_PAD = "x" * 180


def payload() -> str:
    """Return 200 bytes that say when they were made; the clock is the same in all processes."""
    return f"{time.monotonic_ns():020d}{_PAD}"


def report(**figures: float) -> None:
    """Leave the figures where the driver looks for them, all at once."""
    high_water = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    figures["rss_mb"] = int(high_water.split()[1]) / 1024
    partial = REPORT.with_suffix(".part")
    partial.write_text(json.dumps(figures))
    partial.rename(REPORT)


def ready() -> None:
    """Say that the consumer listens."""
    REPORT.with_suffix(".ready").touch()


class Sink:
    """Counts what was handled; with the last message it reports and ends the process."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0
        self.cpu = 0.0
        self.latencies: list[int] = []

    def take(self, text: str) -> None:
        """Handle one message."""
        now = time.monotonic_ns()
        if not self.count:
            self.first, self.cpu = now, time.process_time()
        self.count += 1
        self.latencies.append(now - int(text[:20]))
        if self.count == COUNT:
            # In a thread, after a while: the last acknowledgement is still on its way.
            cpu = time.process_time() - self.cpu
            threading.Thread(target=self._end, args=(now, cpu), daemon=True).start()

    def _end(self, last: int, cpu: float) -> None:
        time.sleep(0.3)  # noqa: TID251
        ordered = sorted(self.latencies)
        report(
            first=self.first,
            last=last,
            cpu_us=cpu / COUNT * 1e6,
            p50_ms=ordered[len(ordered) // 2] / 1e6,
            p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] / 1e6,
        )
        os._exit(0)


async def produce(one: One, many: Many | None = None, *, chunk: int = 100) -> None:
    """Send COUNT messages: one awaited after the other, at a light steady rate, or as many at once as the peer can."""
    import asyncio

    began, cpu = time.monotonic_ns(), time.process_time()
    if MODE == "light":
        due = time.monotonic()
        for _ in range(COUNT):
            await one(payload())
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # noqa: TID251
    elif MODE == "single":
        for _ in range(COUNT):
            await one(payload())
    else:
        for at in range(0, COUNT, chunk):
            texts = [payload() for _ in range(min(chunk, COUNT - at))]
            if many is not None:
                await many(texts)
            else:
                await asyncio.gather(*(one(text) for text in texts))  # noqa: TID251
    ended = time.monotonic_ns()
    report(first=began, last=ended, cpu_us=(time.process_time() - cpu) / COUNT * 1e6)


def run(produced: Callable[[], Awaitable[None]], consumed: Callable[[], Awaitable[None]]) -> None:
    """Take the part that the driver asks for."""
    import asyncio

    async def main() -> None:
        await (produced if ROLE == "produce" else consumed)()

    if os.environ.get("BENCH_LOOP") == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())  # noqa: TID251
