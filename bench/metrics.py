"""What counting, measuring and a scrape cost, next to prometheus_client and OpenTelemetry's SDK: see README.md.

Other benchmarks may import `measure`, or one of the three below it.
"""

from __future__ import annotations

import gc
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter_ns, process_time_ns

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from tta_metrics import Buckets, Metrics, prometheus_text

ROUNDS = 25
AT_ONCE = 20_000
COUNTERS, HISTOGRAMS = (50, 10), (10, 5)
"""Metrics and series of each: 500 counters, and 50 histograms of 17 lines, which makes 1,350."""
_NUMBERS = [0.001 * 1.07**power for power in range(128)]


def measure() -> Mapping[str, float]:
    """Return nanoseconds, milliseconds, and how many times longer the others take."""
    return {**counter(), **histogram(), **scrape()}


def counter() -> Mapping[str, float]:
    """Count one, in a series that is at hand."""
    registry = CollectorRegistry()
    theirs = Counter("calls_total", "calls", ["agent"], registry=registry).labels("tide")
    provider = MeterProvider(metric_readers=[InMemoryMetricReader()])
    sdk = provider.get_meter("bench").create_counter("calls")
    attributes = {"agent": "tide"}
    ours = Metrics().counter("tta_calls_total", "calls", labels=("agent",)).labels("tide")
    took = _in_turn(
        {"ours": ours.inc, "prometheus": theirs.inc, "otel": lambda: sdk.add(1, attributes), "nothing": _nothing}
    )
    provider.shutdown()
    return _ratios("counter", took)


def histogram() -> Mapping[str, float]:
    """Observe a number, in a series that is at hand."""
    registry = CollectorRegistry()
    theirs = Histogram("call_seconds", "calls", ["agent"], registry=registry).labels("tide")
    provider = MeterProvider(metric_readers=[InMemoryMetricReader()])
    sdk = provider.get_meter("bench").create_histogram("calls")
    attributes = {"agent": "tide"}
    ours = Metrics().histogram("tta_call_seconds", "calls", labels=("agent",)).labels("tide")
    took = _in_turn(
        {
            "ours": _each(ours.observe),
            "prometheus": _each(theirs.observe),
            "otel": _each(lambda number: sdk.record(number, attributes)),
            "nothing": _each(_nothing),
        },
        at_once=AT_ONCE // len(_NUMBERS),
    )
    provider.shutdown()
    return _ratios("histogram", {name: each / len(_NUMBERS) for name, each in took.items()})


def scrape() -> Mapping[str, float]:
    """Render 1,350 series, all of which have changed since the last time."""
    metrics, change = _ours()
    registry, change_theirs = _theirs()
    assert _series(prometheus_text(metrics)) >= _series(generate_latest(registry)) >= 1350
    ours: list[float] = []
    theirs: list[float] = []
    idle: list[float] = []
    for _ in range(2 * ROUNDS):
        change()
        ours.append(_once(lambda: prometheus_text(metrics)))
        idle.append(_once(lambda: prometheus_text(metrics)))
        change_theirs()
        theirs.append(_once(lambda: generate_latest(registry)))
    return {
        "scrape_ms": median(ours) / 1e6,
        "scrape_unchanged_ms": median(idle) / 1e6,
        "scrape_prometheus_ms": median(theirs) / 1e6,
        "scrape_ratio": median(theirs) / median(ours),
    }


def _ours() -> tuple[Metrics, Callable[[], None]]:
    metrics = Metrics()
    # As many bounds as prometheus_client has.
    buckets = Buckets(-20, 12, shown=range(-9, 5))
    counters = [metrics.counter(f"tta_bench_c{n}_total", "counter", labels=("of",)) for n in range(COUNTERS[0])]
    histograms = [
        metrics.histogram(f"tta_bench_h{n}_seconds", "histogram", labels=("of",), buckets=buckets)
        for n in range(HISTOGRAMS[0])
    ]
    counts = [family.labels(str(number)).inc for family in counters for number in range(COUNTERS[1])]
    observes = [family.labels(str(number)).observe for family in histograms for number in range(HISTOGRAMS[1])]
    return metrics, _changing(counts, observes)


def _theirs() -> tuple[CollectorRegistry, Callable[[], None]]:
    registry = CollectorRegistry()
    counters = [Counter(f"bench_c{n}_total", "counter", ["of"], registry=registry) for n in range(COUNTERS[0])]
    histograms = [Histogram(f"bench_h{n}_seconds", "h", ["of"], registry=registry) for n in range(HISTOGRAMS[0])]
    counts = [family.labels(str(number)).inc for family in counters for number in range(COUNTERS[1])]
    observes = [family.labels(str(number)).observe for family in histograms for number in range(HISTOGRAMS[1])]
    return registry, _changing(counts, observes)


def _changing(
    counts: Sequence[Callable[[], object]], observes: Sequence[Callable[[float], object]]
) -> Callable[[], None]:
    """Return what changes every series."""

    def change() -> None:
        for count in counts:
            count()
        for observe in observes:
            for number in _NUMBERS:
                observe(number)

    change()
    return change


def _series(text: bytes) -> int:
    return sum(not line.startswith(b"#") and b"_created" not in line for line in text.splitlines())


def _nothing(number: float = 0) -> None:
    """Be called, as what is measured is: the loop around it is taken off."""


def _each(observe: Callable[[float], object]) -> Callable[[], None]:
    def run() -> None:
        for number in _NUMBERS:
            observe(number)

    return run


def _in_turn(what: Mapping[str, Callable[[], object]], at_once: int = AT_ONCE) -> dict[str, float]:
    """Return the nanoseconds of processor time that each takes, the least of all rounds, which run in turn."""
    least = dict.fromkeys(what, float("inf"))
    for _ in range(ROUNDS):
        for name, act in what.items():
            turns = range(at_once)
            began = process_time_ns()
            for _ in turns:
                act()
            least[name] = min(least[name], (process_time_ns() - began) / at_once)
    return least


def _ratios(name: str, took: Mapping[str, float]) -> dict[str, float]:
    """Return what is left without an empty call, which costs our own loop as much as theirs."""
    return {
        f"{name}_ns": took["ours"],
        f"{name}_empty_call_ns": took["nothing"],
        f"{name}_prometheus_ns": took["prometheus"],
        f"{name}_otel_ns": took["otel"],
        f"{name}_ratio": took["prometheus"] / took["ours"],
        f"{name}_ratio_otel": took["otel"] / took["ours"],
    }


def _once(act: Callable[[], object]) -> float:
    gc.disable()
    began = perf_counter_ns()
    act()
    took = perf_counter_ns() - began
    gc.enable()
    return took


def main() -> None:
    """Measure, and print what came of it; the last line is JSON."""
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    found = measure()
    for name in ("counter", "histogram"):
        ours, theirs, otel, empty = (found[f"{name}{of}_ns"] for of in ("", "_prometheus", "_otel", "_empty_call"))
        print(
            f"{name:10} ours {ours:7.0f} ns   prometheus_client {theirs:7.0f} ns"
            f"   OpenTelemetry's SDK {otel:7.0f} ns   an empty call {empty:5.0f} ns"
        )
    print(
        f"scrape     ours {found['scrape_ms']:7.2f} ms   prometheus_client {found['scrape_prometheus_ms']:7.2f} ms"
        f"   ours, unchanged {found['scrape_unchanged_ms']:5.2f} ms"
    )
    print(json.dumps({name: round(each, 2) for name, each in found.items()}))


if __name__ == "__main__":
    main()
