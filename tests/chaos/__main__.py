"""``make chaos``: play scenarios at length, with another seed each time, until the time is over."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from random import SystemRandom

import anyio

from .run import Outcome, run
from .scenarios import SHORT, at_length


def line(name: str, seed: int, outcome: Outcome) -> str:
    verdict, stats = outcome.verdict, outcome.end.stats
    return (
        f"{name:<27} seed {seed:<6} accepted {verdict.accepted:>5}  handled {verdict.handled:>5}  "
        f"duplicates {verdict.duplicates:>3}  lost {verdict.lost}  voided {verdict.voided:>2}  late {verdict.late:>2}  "
        f"recovered {stats.recovered:>3}  not replicated {verdict.not_replicated:>3}  "
        f"{outcome.seconds:5.1f} s  {'WRONG' if verdict.wrong else 'ok'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(100_000), help="of the first round")
    parser.add_argument("--minutes", type=float, default=5.0, help="no round begins after that (default: 5)")
    parser.add_argument("--only", default="", help="scenarios that contain this")
    parser.add_argument("--keep", type=Path, default=Path("build/chaos"), help="where histories of wrong runs stay")
    chosen = parser.parse_args()
    names = [name for name in SHORT if chosen.only.lower() in name.lower()]
    if not names:
        parser.error(f"--only: choose from {', '.join(SHORT)}")
    until, wrong, seed = time.monotonic() + 60 * chosen.minutes, 0, chosen.seed
    while time.monotonic() < until:
        for name in names:
            if time.monotonic() >= until:
                break
            folder = chosen.keep / f"{name.replace(', ', '-').replace(' ', '-').lower()}-{seed}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            outcome = anyio.run(run, at_length(name), seed, folder)
            print(line(name, seed, outcome), flush=True)
            for each in outcome.verdict.wrong[:20]:
                print(f"    {each}", flush=True)
            if outcome.verdict.wrong:
                wrong += 1
                print(f"    {len(outcome.verdict.wrong)} in all; the histories are in {folder}", flush=True)
            else:
                shutil.rmtree(folder)
        seed += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
