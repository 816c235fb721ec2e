"""``make chaos`` plays this, too: 10,000 notifications, ``--count`` others, with a seed of its own each time."""

from __future__ import annotations

import argparse
import sys
from random import SystemRandom

import anyio

from .soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(100_000))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=60.0, help="a second (default: 60)")
    chosen, _ = parser.parse_known_args()

    async def play() -> int:
        outcome = await soak(chosen.count, chosen.seed, rate=chosen.rate, kills=max(6, chosen.count // 250))
        print(f"notifications               seed {chosen.seed:<6} {outcome.notifications} handed over  "
              f"{outcome.statuses}  acknowledged {outcome.acknowledged}  lies {outcome.lied}  "
              f"repeated {outcome.repeated}  kills {outcome.killed}  {outcome.seconds:5.1f} s  "
              f"{'WRONG' if outcome.wrong else 'ok'}")  # fmt: skip
        for each in outcome.wrong[:20]:
            print(f"    {each}")
        return 1 if outcome.wrong else 0

    return anyio.run(play)


if __name__ == "__main__":
    sys.exit(main())
