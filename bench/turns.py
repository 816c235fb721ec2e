"""How long a turn of the story takes while many play at once, and whether each is kept: see README.md."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time
from typing import Any

import anyio
import yaml

from tta_kernel import Kernel
from tta_orchestration import ORCHESTRATION
from tta_orchestration.checks import Checked, Checks
from tta_program import load
from tta_redis.testing import redis_server
from tta_safety import About, Channel
from tta_sessions import SESSIONS

GOAL = 100.0
"""Milliseconds, for 95 of 100 turns."""
PAUSE = 8.0
"""Seconds between a page and the next thing that its player types, on average."""
ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "agents", "workflows", "workflows-local", "sessions", "world", "world-memory", "safety",
    "safety-rules", "orchestration", "input-processor", "world-builder", "narrative-generator",
)  # fmt: skip
STORES: Mapping[str, Sequence[str]] = {
    "memory": ("agents-memory", "workflows-memory", "sessions-memory"),
    "redis": ("redis", "agents-redis", "messages", "messages-redis", "workflows-redis", "sessions-redis"),
}  # fmt: skip
LINES = (
    "look around", "go north", "go south", "I walk to the harbour", "go to the lighthouse", "examine the bench",
    "take the lantern", "what do I have?", "who is here?", "hello", "I'm a bit tired today", "sit down for a while",
    "listen to the sea", "ask about the lamp", "open the door", "go back", "I wait", "read the map", "what now?",
    "put the lantern down", "I feel calmer now", "smell the air", "go to the beach and look for shells", "thank you",
    "tell them about the kite", "I pick up the matches, and light the lantern", "where is the keeper?", "climb up",
    "pet the cat", "it's lovely here", "flurb the wibble", "I don't want to go in there",
)  # fmt: skip


@dataclass
class Played:
    """What came of all turns: seconds of each that counts, and what each player has typed and got an answer to."""

    seconds: list[float] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)
    unanswered: int = 0


class FirstChecks:
    """Notes how long the check of each turn's first sentence takes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        check = Checks.check

        async def timed(checks: Checks, text: str, channel: Channel, session: str, about: About) -> Checked:
            began = perf_counter()
            found = await check(checks, text, channel, session, about)
            if channel == "story" and not about.told:
                self.seconds.append(perf_counter() - began)
            return found

        Checks.check = timed  # type: ignore[method-assign,assignment]  # only to look at the clock


async def play(kernel: Kernel, name: str, seed: int, until: float, counts_from: float, played: Played) -> None:
    """Play one story: after each page its player pauses, and types something else."""
    dice = random.Random(f"{seed}/{name}")
    orchestration = kernel.get(ORCHESTRATION)
    said = played.said.setdefault(name, [])
    # They don't all begin at once.
    await anyio.sleep(dice.uniform(0, PAUSE))
    while perf_counter() < until:
        line = dice.choice(LINES)
        began = perf_counter()
        async with orchestration.stream_user_input(line, name, user=name, seed=seed) as pieces:
            text = "".join([piece async for piece in pieces])
        response = pieces.response
        if response.kept and response.outcome in ("story", "checked-in") and text:
            said.append(line)
        else:
            played.unanswered += 1
        if began >= counts_from:
            played.seconds.append(perf_counter() - began)
        await anyio.sleep(dice.expovariate(1 / PAUSE))


async def measure(folder: Path, players: int, seconds: float, seed: int) -> Mapping[str, Any]:
    """Let them play; the first pause of each is left out."""
    checks, played = FirstChecks(), Played()
    async with Kernel(load(folder, "bench"), installed=True) as kernel:
        counts_from = perf_counter() + PAUSE
        until = counts_from + seconds
        spent = process_time()
        async with anyio.create_task_group() as tasks:
            for number in range(players):
                tasks.start_soon(play, kernel, f"player-{number}", seed, until, counts_from, played)
        spent = process_time() - spent
        turns = sum(map(len, played.said.values())) + played.unanswered
        lost = played.unanswered + await _missing(kernel, played)
    cuts = quantiles(played.seconds, n=100)
    return {
        "p50_ms": round(1000 * cuts[49], 2),
        "p95_ms": round(1000 * cuts[94], 2),
        "turns_per_s": round(len(played.seconds) / seconds, 2),
        "lost": lost,
        "first_sentence_check_ms": round(1000 * median(checks.seconds), 3),
        "turns": len(played.seconds),
        "cpu_ms": round(1000 * spent / turns, 2),
    }


async def _missing(kernel: Kernel, played: Played) -> int:
    """Count the turns that were answered, and that no session has; each has as many as its player has typed."""
    missing = 0
    for name, said in played.said.items():
        session = await kernel.get(SESSIONS).get(name)
        pages = session.context.get("history", ()) if session is not None else ()
        kept = [page["said"] for page in pages]
        missing += sum(one != other for one, other in zip(said[-len(kept) :], kept, strict=False))
        turn = session.context.get("turn", 0) if session is not None else 0
        missing += max(0, len(said) - turn)
    return missing


def write_config(folder: Path, store: str, url: str) -> None:
    """Write the config of a process that plays the turn of this tree on a store."""
    shutil.copy(ROOT / "config" / "base.yaml", folder)
    shutil.copytree(ROOT / "config" / "workflows", folder / "workflows")
    plugins: dict[str, Any] = {name: {"enabled": True} for name in (*NAMES, *STORES[store])}
    plugins["orchestration"]["config"] = {"history": 1000}
    if url:
        plugins["redis"]["config"] = {"url": url}
    settings = {"kernel": {"autoload": False, "hook_timeouts": {"check_text": "2s"}}, "plugins": plugins}
    (folder / "bench.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def run(store: str, url: str, chosen: argparse.Namespace) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        write_config(Path(name), store, url)
        return anyio.run(measure, Path(name), chosen.players, chosen.seconds, chosen.seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--store", choices=STORES, default="redis", help="where sessions and the journal lie")
    chosen = parser.parse_args()
    if chosen.store == "memory":
        found = run("memory", "", chosen)
    else:
        with redis_server("--appendonly", "yes", own=True) as server:
            found = run("redis", server.url, chosen)
    met = found["p95_ms"] < GOAL and not found["lost"]
    print(f"{chosen.players} players, pausing {PAUSE:g} s on average, sessions and journal in {chosen.store}")
    print(f"the goal is {GOAL:g} ms for 95 of 100 turns, and none lost: {'met' if met else 'MISSED'}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
