"""The other process of `Shared.elsewhere`: opens the store, and does some work on it."""

from __future__ import annotations

import json
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio


def _function(module: str, file: str, name: str) -> Any:
    """Find a function; pytest may have imported a test's file by a name that means something else here, or nothing."""
    try:
        found = import_module(module)
    except ImportError:
        return runpy.run_path(file)[name]
    if Path(getattr(found, "__file__", None) or "") == Path(file):
        return getattr(found, name)
    return runpy.run_path(file)[name]


def _tell(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def _main(task: dict[str, Any]) -> None:
    open_place, open_arguments = task["open"][:3], task["open"][3:]
    work_place, work_arguments = task["work"][:3], task["work"][3:]
    open, work = _function(*open_place), _function(*work_place)
    async with open(*open_arguments) as store:
        await work(store, _tell, *work_arguments)


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    sys.path[:] = task["path"]
    anyio.run(_main, task)
