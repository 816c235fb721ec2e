"""Workflows next to those of five frameworks, in one run: see README.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tta_redis.testing import redis_server

# Not this folder: in it `workflows` would be this file, and no more llama-index's.
PEERS_FOLDER = Path(__file__).resolve().parent / "peers"
PEERS = ("bare", "langgraph_", "burr_", "pydantic_graph_", "llama_index_", "autogen_")
OURS = ("ours_bare", "ours_shipped", "ours_durable", "ours_agents")
COLUMNS = ("chain", "fan", "makespan", "durable", "durable-100", "chain-anyio", "fan-anyio")
IDEAL = 0.03
Figures = dict[str, dict[str, list[float]]]


def measure(name: str, redis_url: str) -> Mapping[str, float]:
    """Measure one in a process of its own."""
    command = [sys.executable, "-m", "workflow_peers.measure", name, redis_url]
    environment = {**os.environ, "PYTHONPATH": str(PEERS_FOLDER)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all in turn, several times, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args(arguments)
    names = [name for name in (*PEERS, *OURS) if not options.only or name in options.only]
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with redis_server() as server:
        for _ in range(options.rounds):
            for name in names:
                for row, value in measure(name, server.url).items():
                    figures[name][row].append(value)
    show(figures)
    if not options.only:
        print(json.dumps(ratios(figures)))


def show(figures: Figures) -> None:
    """Print a table: runs a second, and milliseconds for the makespan."""
    print(f"{'':<16}" + "".join(f"{column:>14}" for column in COLUMNS))
    for name, rows in figures.items():
        cells = []
        for column in COLUMNS:
            value = median(rows[column]) if column in rows else None
            shown = "–" if value is None else f"{value * 1000:.1f} ms" if column == "makespan" else f"{value:,.0f}/s"
            cells.append(f"{shown:>14}")
        print(f"{name.rstrip('_'):<16}" + "".join(cells))
    print("ours_bare, ours_shipped and ours_durable run over agents that are handed in as a service and cost nothing;")
    print("ours_agents calls through the real agents, each registered and under its time limit.")


def ratios(figures: Figures) -> Mapping[str, float]:
    """Return the figures that are held against goals."""

    def of(name: str, row: str) -> float:
        return median(figures[name][row])

    found = {
        "ratio_langgraph_bare": of("ours_bare", "chain") / of("langgraph_", "chain"),
        "ratio_langgraph_shipped": of("ours_shipped", "chain") / of("langgraph_", "chain"),
        "ratio_langgraph_durable": of("ours_durable", "durable-100") / of("langgraph_", "durable-100"),
        "ratio_burr_durable": of("ours_durable", "durable-100") / of("burr_", "durable-100"),
        "ratio_burr_durable_serial": of("ours_durable", "durable") / of("burr_", "durable"),
        "ratio_langgraph_agents": of("ours_agents", "chain") / of("langgraph_", "chain"),
        "makespan_ideal": of("ours_shipped", "makespan") / IDEAL,
    }
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    main()
