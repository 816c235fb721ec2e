"""Kills processes and Redis while interventions are opened, and judges what has become of each of them."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from tta_crisis import CRISIS
from tta_notify import NOTIFY
from tta_redis import REDIS
from tta_redis.testing import RedisServer, redis_server

from .worker import AT_ONCE, LIED, RECEIVED, Spec, id_of, kernel

FAULTS = 0.15
PATIENCE = 300.0
"""Seconds in which some of what was left must be told, once nothing is killed any more; on any machine."""


class Verdict(msgspec.Struct, kw_only=True):
    """What became of ``count`` interventions; ``wrong`` says which were lost, or acknowledged by a machine.

    ``processor``: the seconds of it that the processes took.
    """

    count: int
    kills: int = 0
    restarts: int = 0
    received: int = 0
    duplicates: int = 0
    lied: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    wrong: list[str] = []


def soak(count: int, seed: int, *, tell: Callable[[str], None] = lambda said: None) -> Verdict:
    """Open ``count`` interventions under faults, and judge; ``tell`` hears how far it is."""
    chance, began = random.Random(seed), time.monotonic()
    used = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    verdict = Verdict(count=count, wrong=[])
    with redis_server("--appendonly", "yes", "--appendfsync", "always", own=True) as server:
        spec = Spec(server.config(), seed, faults=FAULTS)
        left = set(range(count))
        while left:
            numbers = tuple(sorted(left)[: max(50, count // 8)])
            life = msgspec.structs.replace(spec, numbers=numbers, seed=chance.randrange(10**6))
            _one_life(life, server, left, chance, verdict)
            tell(f"opened {count - len(left)} of {count}, {time.monotonic() - began:.0f} s")
        _settle(msgspec.structs.replace(spec, all=count), tell)
        tell(f"all are told, {time.monotonic() - began:.0f} s")
        anyio.run(_judge, spec, verdict)
    verdict.seconds = time.monotonic() - began
    verdict.processor = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - used
    return verdict


def _one_life(spec: Spec, server: RedisServer, left: set[int], chance: random.Random, verdict: Verdict) -> None:
    """Let a process open interventions until it is through, or killed in the middle."""
    process = started(spec)
    ends_after = chance.randrange(len(spec.numbers) // 4, len(spec.numbers) * 5 // 4)
    redis_after = chance.randrange(len(spec.numbers)) if chance.random() < 0.5 else -1
    assert process.stdout is not None
    for opened, line in enumerate(process.stdout, start=1):
        said, _, number = line.decode().strip().partition(" ")
        if said != "opened":
            break
        left.discard(int(number))
        if opened == redis_after:
            server.kill()
            time.sleep(chance.random())  # noqa: TID251 - so long nobody reaches it
            server.start()
            verdict.restarts += 1
        if opened == ends_after:
            process.kill()
            verdict.kills += 1
            break
    process.kill()
    process.wait()
    process.stdout.close()


def _settle(spec: Spec, tell: Callable[[str], None]) -> None:
    """Let a process work on what is left until all is told; it is stuck where it tells nothing for `PATIENCE`."""
    process = started(spec)
    assert process.stdout is not None
    said = ""
    while said != "settled":
        killer = threading.Timer(PATIENCE, process.kill)
        killer.start()
        said = process.stdout.readline().decode().strip()
        killer.cancel()
        if not said:
            raise AssertionError(f"of what was left nothing was told within {PATIENCE:g} s")
        tell(said)
    process.wait()
    process.stdout.close()


def started(spec: Spec) -> subprocess.Popen[bytes]:
    """Start a worker."""
    words = [sys.executable, "-m", "escalations.worker", msgspec.json.encode(spec).decode()]
    folder = Path(__file__).resolve().parents[1]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder)


async def _judge(spec: Spec, verdict: Verdict) -> None:
    async with kernel(spec) as found:
        crises, notifier, redis = found.get(CRISIS), found.get(NOTIFY), found.get(REDIS)
        for number in range(verdict.count):
            id = id_of(number)
            intervention = await crises.get(id)
            entry = await notifier.get(f"crisis.{id}")
            if intervention is None:
                verdict.wrong.append(f"{id} is lost")
            elif intervention.status != "open":
                verdict.wrong.append(f"{id} is {intervention.status}, and no human has seen it")
            if entry is None or entry.status != "accepted":
                verdict.wrong.append(f"nobody was told of {id}")
            elif entry.acknowledgement is not None:
                verdict.wrong.append(f"a machine has acknowledged {id}")
        received = await redis.execute("LRANGE", redis.key(RECEIVED), 0, -1)
        lied = await redis.execute("SMEMBERS", redis.key(LIED))
    verdict.received, verdict.lied = len(received), len(lied)
    counts: dict[bytes, int] = {}
    for each in received:
        counts[each] = counts.get(each, 0) + 1
    twice = [id for id, count in counts.items() if count > 1]
    verdict.duplicates = len(twice)
    honest = [id for id in twice if id not in lied]
    # What a killed process had sent, and not yet said so, is sent once more: nobody else knows.
    if len(honest) > AT_ONCE * (verdict.kills + verdict.restarts):
        verdict.wrong.append(f"{len(honest)} were told twice though the channel told the truth")
