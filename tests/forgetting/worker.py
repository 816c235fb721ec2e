"""A process in which a person has played: ``python -m forgetting.worker URL FOLDER``; it says what it holds of them."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import anyio.to_thread

from .deployment import deployment, left_in_memory, plant, there_is_something_everywhere


async def main(url: str, folder: Path) -> None:
    async with deployment(folder, url) as kernel:
        await plant(kernel)
        await there_is_something_everywhere(kernel)
        print("planted", flush=True)
        while await anyio.to_thread.run_sync(sys.stdin.readline):
            left = await left_in_memory(kernel)
            print("|".join(f"{word}: {where}" for word, where in left.items()), flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], Path(sys.argv[2]))
