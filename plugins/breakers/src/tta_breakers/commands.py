"""The commands ``tta breakers …``: which are open in a running system, and opening and closing them by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable

from tta_kernel import Kernel
from tta_program import DONE, USAGE, Subcommands, fail, moment, print_json, table

from .breakers import BREAKERS, Breakers
from .memory import MemoryBreakerStore
from .model import BREAKER_STORE, BreakersError

_Act = Callable[[Breakers, argparse.Namespace], Awaitable[int]]


def add(subcommands: Subcommands) -> None:
    """Add the commands."""

    def command(name: str, act: _Act, text: str, *, mutates: bool = False) -> argparse.ArgumentParser:
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _act(kernel, options, act)

        return subcommands.add(
            f"breakers {name}", run, help=text, requires=(BREAKERS, BREAKER_STORE), mutates=mutates,
            target="name" if mutates else "",
        )  # fmt: skip

    subcommands.group("breakers", help="look at circuit breakers, open and close them")
    parser = command("list", _list, "list the breakers of all processes")
    parser.add_argument("--open", action="store_true", help="those alone that are not closed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = command("reset", _reset, "close a breaker in all processes, and forget its failures", mutates=True)
    parser.add_argument("name", nargs="*", help="its name, as `tta breakers list` shows it")
    parser.add_argument("--all", action="store_true", help="all that are not closed")
    parser.add_argument("--by", default="", help="who wants it, for whoever looks")
    parser = command("trip", _trip, "open a breaker in all processes, as if calls had failed", mutates=True)
    parser.add_argument("name", help="its name, such as agent:world-builder")
    parser.add_argument("--reason", default="it was opened by hand", help="why, for whoever looks")
    parser.add_argument("--by", default="", help="who wants it, for whoever looks")


async def _act(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    if isinstance(kernel.get(BREAKER_STORE), MemoryBreakerStore):
        return fail("breakers", "they are kept in memory, and this process has none: only the running one can look")
    try:
        return await act(kernel.get(BREAKERS), options)
    except BreakersError as exc:
        return fail("breakers", f"the store can't be used: {exc}")
    except ValueError as exc:
        fail("breakers", str(exc))
        return USAGE


async def _list(breakers: Breakers, options: argparse.Namespace) -> int:
    found = [each for each in await breakers.list() if each.status != "closed" or not options.open]
    if options.json:
        print_json(found)
    elif found:
        head = ("BREAKER", "STATUS", "FAILURES", "OPENS", "SINCE", "UNTIL", "REASON", "BY")
        rows = [
            (
                each.name, each.status, str(each.failures), str(each.opens), _time(each.since), _time(each.until),
                each.reason or "-", each.by or "-",
            )
            for each in found
        ]  # fmt: skip
        table([head, *rows])
    else:
        what = "no breaker is open" if options.open else "no call was made through a breaker lately"
        print(what, file=sys.stderr)
    return DONE


async def _reset(breakers: Breakers, options: argparse.Namespace) -> int:
    if bool(options.name) == options.all:
        fail("breakers", "name breakers, or say --all")
        return USAGE
    known = {each.name: each for each in await breakers.list()}
    names = options.name or [name for name, each in known.items() if each.status != "closed"]
    for name in names:
        done = await breakers.reset(name, by=options.by)
        print(f"{name}: {'closed' if done else 'was closed'}")
    return DONE


async def _trip(breakers: Breakers, options: argparse.Namespace) -> int:
    done = await breakers.trip(options.name, options.reason, by=options.by)
    print(f"{options.name}: {'open' if done else 'was open'}")
    return DONE


def _time(at: float) -> str:
    return moment(at) if at else "-"
