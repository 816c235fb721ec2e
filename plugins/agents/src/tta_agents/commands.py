"""The commands ``tta agents …``: who is served in a running system, and how it does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Iterator

from tta_kernel import Kernel, suggest
from tta_program import DONE, USAGE, Subcommands, fail, moment, print_json, table

from .memory import MemoryRegistry
from .model import AGENT_REGISTRY, AgentCard, AgentId, AgentRegistry, RegistryError
from .stores import guard_registry

_Act = Callable[[AgentRegistry, argparse.Namespace], Awaitable[int]]


def add(subcommands: Subcommands) -> None:
    """Add the commands."""

    def command(name: str, act: _Act, text: str) -> argparse.ArgumentParser:
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _act(kernel, options, act)

        parser = subcommands.add(f"agents {name}", run, help=text, requires=(AGENT_REGISTRY,))
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    subcommands.group("agents", help="look at the agents that are alive")
    parser = command("list", _list, "list the agents that are alive, in all processes")
    parser.add_argument("type", nargs="?", help="of this type alone")
    parser = command("show", _show, "show one agent")
    parser.add_argument("agent", metavar="TYPE:INSTANCE", help="its address, as `tta agents list` shows it")


async def _act(kernel: Kernel, options: argparse.Namespace, act: _Act) -> int:
    registry = kernel.get(AGENT_REGISTRY)
    if isinstance(registry, MemoryRegistry):
        return fail("agents", "agents are known in memory, and this process has none: only the running one can look")
    try:
        return await act(guard_registry(registry), options)
    except RegistryError as exc:
        return fail("agents", f"the registry can't be used: {exc}")


async def _list(registry: AgentRegistry, options: argparse.Namespace) -> int:
    cards = await registry.list(options.type)
    if options.json:
        print_json(cards)
    elif cards:
        table(
            [("AGENT", "STATUS", "LOAD", "SEEN", "PROCESS", "CAPABILITIES")]
            + [
                (str(card.id), card.status, _load(card), _time(card.seen_at), card.process, _capabilities(card))
                for card in cards
            ]
        )
    elif options.type and (known := await registry.list()):
        return fail(
            "agents",
            f"no agent of the type {options.type!r} is alive; {suggest(options.type, {c.id.type for c in known})}",
        )
    else:
        print("no agent is served where other processes could call it", file=sys.stderr)
    return DONE


async def _show(registry: AgentRegistry, options: argparse.Namespace) -> int:
    type, _, instance = options.agent.partition(":")
    if not instance:
        found = ", ".join(str(card.id) for card in await registry.list(type)) if type else ""
        fail("agents", f"an agent's address reads TYPE:INSTANCE{found and f'; there are: {found}'}")
        return USAGE
    card = await registry.get(AgentId(type, instance))
    if card is None:
        known = {str(card.id) for card in await registry.list()}
        return fail("agents", f"no agent {options.agent} is alive; {suggest(options.agent, known)}")
    if options.json:
        print_json(card)
        return DONE
    rows = [
        ("agent", str(card.id)), ("description", card.description), ("version", card.agent_version or "-"),
        ("status", card.status), ("load", _load(card)), ("process", card.process),
        *_figures(card), ("registered", _time(card.registered_at)), ("seen", _time(card.seen_at)),
        ("timeout", f"{card.timeout:g} s"),
        *((f"resource {name}", str(it)) for name, it in card.resources.items()),
        *((f"capability {it.name}", f"{it.version} {it.type}, {it.status}") for it in card.capabilities),
    ]  # fmt: skip
    table(rows)
    return DONE


def _load(card: AgentCard) -> str:
    return f"{card.running}/{card.limit}" if card.limit else str(card.running)


def _figures(card: AgentCard) -> Iterator[tuple[str, str]]:
    if card.statistics is not None:
        it = card.statistics
        yield "calls", f"{it.calls}, of which {it.errors} failed and {it.timeouts} took too long"
        yield "duration", f"{it.p50:.3f} s, 95 % within {it.p95:.3f} s"


def _capabilities(card: AgentCard) -> str:
    return ", ".join(sorted(f"{it.name} {it.version}" for it in card.capabilities))


def _time(at: float) -> str:
    return moment(at) if at else "-"
