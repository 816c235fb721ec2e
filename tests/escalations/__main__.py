"""``make chaos``: ten thousand escalations under faults."""

from __future__ import annotations

import argparse
import sys
from random import SystemRandom

from .soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m escalations", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(100_000))
    chosen = parser.parse_args()

    def tell(said: str) -> None:
        print(f"    {said}", file=sys.stderr, flush=True)

    verdict = soak(chosen.count, chosen.seed, tell=tell)
    print(
        f"escalations  seed {chosen.seed}  opened {verdict.count}  killed {verdict.kills}  Redis killed "
        f"{verdict.restarts}  received {verdict.received}  twice {verdict.duplicates}  lied {verdict.lied}  "
        f"{verdict.seconds:.0f} s ({verdict.processor:.0f} s of processor)  {'WRONG' if verdict.wrong else 'ok'}"
    )
    for each in verdict.wrong[:20]:
        print(f"    {each}")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
