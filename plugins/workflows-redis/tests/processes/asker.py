"""A process that asks one thing of many runs, or goes on with what another has begun: ``SPEC`` is its JSON."""

from __future__ import annotations

import sys
import time

import anyio
import msgspec

from tta_redis import Config, connect
from tta_workflows.bulk import BULK, Bulk
from tta_workflows.steering import clerk
from tta_workflows_redis import RedisJournal


class OperatorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """``begins``: it begins the bulk action ``key``; else it goes on with it."""

    redis: Config
    key: str
    lease: float
    begins: bool = False


async def main(spec: OperatorSpec) -> None:
    async with connect(spec.redis) as redis:
        journal = RedisJournal(redis)
        async with journal.listening(), clerk(journal, lease=spec.lease) as executor:
            print("ready", flush=True)
            if spec.begins:
                asked = msgspec.to_builtins(Bulk("pause", time.time(), by="ann", workflow="chain"))
                handle = await executor.start(BULK, asked, key=spec.key)
            else:
                while not await executor.adopt(spec.key):  # noqa: ASYNC110 - until the lease of another is over
                    await anyio.sleep(0.05)
                found = await executor.find(spec.key)
                assert found is not None
                handle = found
            print("asking", flush=True)
            run = await handle.result()
            print(f"{run.status} {run.error}", flush=True)


if __name__ == "__main__":
    anyio.run(main, msgspec.json.decode(sys.argv[1], type=OperatorSpec))
