"""The command ``tta resources``: what there is, as a picture."""

from __future__ import annotations

import argparse
import platform
import sys
from collections import deque

import anyio
from msgspec.structs import replace

from tta_kernel import Kernel
from tta_program import DONE, USAGE, Subcommands, fail, print_json

from .disks import Disks
from .model import Sample
from .picture import picture
from .sampling import Sampler, sampler

_FIRST = 0.3
"""Seconds between the two looks that it takes to say how busy the processors are."""
_CURVE = 60
_REPAINT = "\x1b[H\x1b[J"


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = subcommands.add("resources", _show, help="show what there is of memory, processors and disk")
    parser.add_argument("--watch", action="store_true", help="go on showing it, every --every seconds")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--pid", default="self", help="what holds for another process, such as one in a container")
    parser.add_argument("--disk", action="append", metavar="PATH", help="file systems to look at; default: /")
    parser.add_argument("--json", action="store_true", help="print JSON, a line each time")


async def _show(kernel: Kernel, options: argparse.Namespace) -> int:
    if not 0.1 <= options.every <= 3600:
        fail("resources", f"--every {options.every:g}: between 0.1 and 3600 seconds")
        return USAGE
    try:
        found = sampler(options.pid)
    except ValueError as exc:
        fail("resources", f"--pid {options.pid}: {exc}")
        return USAGE
    try:
        found.sample()
        await _paint(found, Disks(options.disk or ["/"]), options)
    finally:
        found.close()
    return DONE


async def _paint(found: Sampler, disks: Disks, options: argparse.Namespace) -> None:
    samples: deque[Sample] = deque(maxlen=_CURVE)
    await anyio.sleep(_FIRST)
    while True:
        await disks.look()
        sample = found.sample()
        samples.append(replace(sample, disks=disks.found, errors={**sample.errors, **disks.errors}))
        if options.json:
            print_json(samples[-1])
        else:
            start = _REPAINT if options.watch and sys.stdout.isatty() else ""
            print(start + "\n".join(picture(samples, platform.node())), flush=True)
        if not options.watch:
            return
        await anyio.sleep(options.every)
