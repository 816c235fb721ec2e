"""What it costs to know who asks: a key that was shown a moment ago, next to the bare digest of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable

import anyio

from tta_access import Authenticator, Config, Credentials, Key, MemoryKeys, digest_of, new_key

ROUNDS = 30
CALLS = 2000


async def auth_us() -> float:
    """Return how many microseconds `authenticate` takes, in the best of the rounds: all else is other processes."""
    store = MemoryKeys()
    id, key = new_key()
    await store.add(Key(id=id, name="probe", roles=("viewer",), digest=digest_of(key), created_at=time.time()))
    access = Authenticator(Config(cache_ttl=60.0), store)
    shown = Credentials(authorization=f"Bearer {key}", peer="127.0.0.1")
    await access.authenticate(shown)
    rounds = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        for _ in range(CALLS):
            await access.authenticate(shown)
        rounds.append((time.perf_counter() - before) / CALLS)
    return min(rounds) * 1e6


def bare_us() -> float:
    """Return how many the digest and its comparison take by themselves."""
    key = new_key()[1].encode()
    kept = hashlib.sha256(key).digest()
    return _best(lambda: hmac.compare_digest(hashlib.sha256(key).digest(), kept))


def _best(call: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - before) / CALLS)
    return min(rounds) * 1e6


def main() -> None:
    """Print both, and as JSON on the last line."""
    ours, bare = anyio.run(auth_us), bare_us()
    print(f"a key check: {ours:.2f} µs; the bare digest and its comparison: {bare:.2f} µs")
    print(json.dumps({"auth_us": round(ours, 3), "bare_us": round(bare, 3)}))


if __name__ == "__main__":
    main()
