"""Messages on Redis next to five queues and the limit of redis-py, in one run on one server: see README.md."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).parent
LIMIT = 120.0
"""Seconds that one measurement may take."""


class System(NamedTuple):
    """One contestant: its module in ``peers``, its batch, how many messages it gets, and where its packages are."""

    module: str
    batch: int = 1
    total: int = 20_000
    environment: str = "bench-messages"
    variables: Mapping[str, str] = {}


OURS = {
    "ours, one by one": System("ours", 1, variables={"BENCH_HANDLER": "each"}),
    "ours, single": System("ours", 1, variables={"BENCH_HANDLER": "each", "BENCH_CONSUMERS": "10"}),
    "ours, 10, one consumer": System("ours", 10, 40_000, variables={"BENCH_HANDLER": "each"}),
    "ours, 10": System("ours", 10, 40_000, variables={"BENCH_HANDLER": "each", "BENCH_CONSUMERS": "2"}),
    "ours, batch handler 10": System("ours", 10, 40_000, variables={"BENCH_HANDLER": "batch"}),
    "ours, batch handler 100": System("ours", 100, 100_000, variables={"BENCH_HANDLER": "batch"}),
}
LIMITS = {"redis-py, single": System("raw", 1), "redis-py, 10": System("raw", 10, 40_000)}
LIMITS["redis-py, 100"] = System("raw", 100, 60_000)
PEERS = {
    "faststream": System("faststream_"),
    "faststream, batch handler 10": System("faststream_", 10),
    "faststream, batch handler 100": System("faststream_", 100),
    "taskiq, stream": System("taskiq_"),
    "saq": System("saq_", total=10_000),
    "dramatiq, 8 threads": System("dramatiq_", total=10_000),
    "arq, tuned": System("arq_", total=10_000, environment="bench-arq"),
}
SINGLE_RIVALS = ("faststream", "taskiq, stream", "saq", "dramatiq, 8 threads", "arq, tuned")
LIGHT = {"ours, 10", "redis-py, single", *SINGLE_RIVALS}
LIGHT_COUNT = 400


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Run a server of our own that keeps nothing, and return its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ("--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder))
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        while command(port, "PING") != b"+PONG":
            time.sleep(0.05)  # noqa: TID251
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def command(port: int, *words: str) -> bytes:
    """Ask the server something whose answer is short; nothing while it isn't there yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            answer = connection.recv(65536)
            if answer.startswith(b"$"):
                head, _, _ = answer.partition(b"\r\n")
                while len(answer) < int(head[1:]) + len(head) + 4:
                    answer += connection.recv(65536)
            return answer.strip()
    except ConnectionRefusedError:
        return b""


def server_cpu(port: int) -> float:
    """Return the seconds of CPU that the server's own thread has used."""
    lines = dict(line.split(":", 1) for line in command(port, "INFO", "cpu").decode().splitlines() if ":" in line)
    return float(lines["used_cpu_user_main_thread"]) + float(lines["used_cpu_sys_main_thread"])


class Side:
    """A producer or a consumer in a process of its own."""

    def __init__(self, system: System, role: str, mode: str, port: int, folder: Path, count: int) -> None:
        self.report = folder / f"{role}.json"
        self.report.unlink(missing_ok=True)
        self.report.with_suffix(".ready").unlink(missing_ok=True)
        environment = os.environ | dict(system.variables) | {
            "BENCH_REDIS": f"redis://127.0.0.1:{port}/0", "BENCH_COUNT": str(count),
            "BENCH_BATCH": str(system.batch), "BENCH_REPORT": str(self.report), "PYTHONPATH": str(HERE / "peers"),
        }  # fmt: skip
        python = HERE.parent / "build" / system.environment / "bin/python"
        self.log = (folder / f"{role}.log").open("w+")
        self.process = subprocess.Popen(
            [python, HERE / "peers" / f"{system.module}.py", role, mode],
            env=environment, stdout=self.log, stderr=self.log, cwd=folder,
        )  # fmt: skip

    def wait(self, suffix: str = ".json") -> None:
        """Wait until it has reported, or listens; show what it said if it doesn't."""
        end = time.monotonic() + LIMIT
        while not self.report.with_suffix(suffix).exists():
            if time.monotonic() > end or self.process.poll() not in (None, 0):
                self.log.seek(0)
                raise SystemExit(f"{self.process.args!r} did not end well:\n{self.log.read()[-3000:]}")
            time.sleep(0.02)  # noqa: TID251

    def result(self) -> dict[str, float]:
        """Return its figures."""
        self.wait()
        found: dict[str, float] = json.loads(self.report.read_text())
        return found

    def end(self) -> None:
        """Stop the process, if it hasn't."""
        self.process.kill()
        self.process.wait(10)
        self.log.close()


def measure(system: System, mode: str, port: int, folder: Path, count: int) -> dict[str, float]:
    """Measure one system once: both sides at work, a queue that was filled before, or a few messages a second."""
    command(port, "FLUSHALL")
    sides: list[Side] = []
    try:
        if mode == "drain":
            # Whoever consumes makes the group, so it must have been there once.
            sides.append(consumer := Side(system, "consume", "idle", port, folder, count + 1))
            consumer.wait(".ready")
            consumer.end()
        else:
            sides.append(consumer := Side(system, "consume", mode, port, folder, count))
            consumer.wait(".ready")
        before = server_cpu(port)
        how = {"e2e": "single" if system == LIMITS["redis-py, single"] else "bulk", "drain": "bulk"}
        sides.append(producer := Side(system, "produce", how.get(mode, mode), port, folder, count))
        sent = producer.result()
        if mode == "drain":
            sides.append(consumer := Side(system, "consume", mode, port, folder, count))
        got = consumer.result()
        cpu = (server_cpu(port) - before) / count * 1e6
    finally:
        for side in sides:
            side.end()
    enqueue = count / (sent["last"] - sent["first"]) * 1e9
    begun = got["first"] if mode == "drain" else sent["first"]
    return {
        "enqueue": enqueue, "rate": count / (got["last"] - begun) * 1e9, "p50": got["p50_ms"], "p99": got["p99_ms"],
        "producer_us": sent["cpu_us"], "consumer_us": got["cpu_us"], "server_us": cpu, "rss_mb": got["rss_mb"],
    }  # fmt: skip


def middle(samples: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: median(sample[name] for sample in samples) for name in samples[0]}


def main() -> int:
    """Run all in turn, a few rounds, print a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the messages, for a quick look")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="of all but dramatiq")
    parser.add_argument("--only", default="", help="systems whose name holds this")
    options = parser.parse_args()
    os.environ["BENCH_LOOP"] = options.loop
    systems = {name: each for name, each in (OURS | LIMITS | PEERS).items() if options.only in name}
    samples: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as port:
        for number in range(options.rounds):
            for name, system in systems.items():
                for mode in ("e2e", "drain", "light"):
                    if mode == "light" and name not in LIGHT:
                        continue
                    count = LIGHT_COUNT if mode == "light" else max(1000, int(system.total * options.scale))
                    found = measure(system, mode, port, Path(folder), count)
                    samples.setdefault((name, mode), []).append(found)
                    print(f"round {number + 1} {name} {mode}: {found['rate']:,.0f}/s", file=sys.stderr)
    results = {key: middle(found) for key, found in samples.items()}
    show(systems, results, options.rounds)
    if not options.only:
        print(json.dumps(ratios(results)))
    return 0


def show(systems: Mapping[str, System], results: Mapping[tuple[str, str], dict[str, float]], rounds: int) -> None:
    """Print one row a system."""
    print(f"200 bytes, acknowledged; medians of {rounds} rounds; µs are of CPU a message, end to end; ms at 100/s")
    heads = ("enqueue/s", "drain/s", "e2e/s", "p50 ms", "p99 ms", "prod. µs", "cons. µs", "redis µs", "MB")
    print(f"{'':30}" + "".join(f"{head:>11}" for head in heads))
    for name in systems:
        both, drain, light = (results.get((name, mode)) for mode in ("e2e", "drain", "light"))
        assert both is not None
        assert drain is not None
        cells = [f"{both['enqueue']:,.0f}", f"{drain['rate']:,.0f}", f"{both['rate']:,.0f}"]
        cells += [f"{light['p50']:.2f}", f"{light['p99']:.2f}"] if light else ["", ""]
        cells += [f"{both[key]:.1f}" for key in ("producer_us", "consumer_us", "server_us")] + [f"{both['rss_mb']:.0f}"]
        print(f"{name:30}" + "".join(f"{cell:>11}" for cell in cells))


def ratios(results: Mapping[tuple[str, str], dict[str, float]]) -> dict[str, float]:
    """Return ours over theirs, end to end; for latencies, less is better."""

    def rate(name: str) -> float:
        return results[name, "e2e"]["rate"]

    ours, theirs = results["ours, 10", "light"], results["faststream", "light"]
    found = {
        "ratio_batch10": rate("ours, 10") / rate("faststream"),
        "ratio_batchhandler10": rate("ours, batch handler 10") / rate("faststream, batch handler 10"),
        "ratio_batch100": rate("ours, batch handler 100") / rate("faststream, batch handler 100"),
        "ratio_single": rate("ours, single") / max(map(rate, SINGLE_RIVALS)),
        "ratio_p50": ours["p50"] / theirs["p50"],
        "ratio_p99": ours["p99"] / theirs["p99"],
        "ratio_one_by_one": rate("ours, one by one") / rate("redis-py, single"),
        "ratio_raw10": rate("ours, 10") / rate("redis-py, 10"),
        "ratio_raw10_one_consumer": rate("ours, 10, one consumer") / rate("redis-py, 10"),
        "consumer_us": results["ours, 10", "e2e"]["consumer_us"],
        "redis_us": results["ours, 10", "e2e"]["server_us"],
    }
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    sys.exit(main())
