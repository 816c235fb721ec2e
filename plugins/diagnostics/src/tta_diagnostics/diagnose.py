"""``tta diagnose``: what matters of a running deployment, as somebody wants to read it at night."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import msgspec

from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, fail, print_json, table
from tta_program.logs import Redactor

ASKED = {
    "health": "/health",
    "summary": "/summary",
    "plugins": "/plugins?limit=500",
    "agents": "/agents?limit=500",
    "messages": "/messages?limit=500",
    "stuck": "/runs?status=stuck&limit=50",
    "set-aside": "/runs?status=set-aside&limit=50",
    "running": "/runs?status=running&limit=500",
}
"""What is asked for, by the name under which it is told."""
ONLY_BUNDLED = {"config": "/config?limit=500", "metrics": "/metrics", "events": "/events?limit=1000"}
LONG_AGO = 600.0
"""Seconds after which a run that still runs is worth a look."""
LARGEST = 32 * 2**20
SHOWN = 5


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a route has answered, or why it hasn't."""

    status: int = 0
    body: Any = None
    error: str = ""


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    text = "ask a running deployment what matters: health, slow agents, dead letters, stuck runs; 0 where all is well"
    parser = subcommands.add("diagnose", _run, help=text)
    parser.add_argument("where", metavar="URL|SOCKET", help="such as http://127.0.0.1:8503, or a Unix socket's path")
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "write all that was told, config and figures too, into a file for a bug report, without secrets"
    parser.add_argument("--bundle", type=Path, metavar="FILE", help=text)
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="for each question (%(default)s)"
    )


async def _run(kernel: Kernel, options: argparse.Namespace) -> int:
    asked = {**ASKED, **(ONLY_BUNDLED if options.bundle else {})}
    told = await ask(options.where, asked, key=os.environ.get("TTA_KEY", ""), within=options.timeout)
    redact = Redactor(kernel.secrets)
    if not any(each.status for each in told.values()):
        return fail("diagnose", f"nothing answers at {redact(options.where)}: {redact(told['health'].error)}")
    if options.bundle:
        await anyio.to_thread.run_sync(_write, options.bundle, redact(msgspec.json.encode(told).decode()))
    shown = findings(told, time.time())
    if options.json:
        print_json(shown)
    else:
        table([("WHAT", "HOW", "MORE"), *rows(shown)])
        if options.bundle:
            table([("written to", str(options.bundle))])
    return DONE if shown["status"] == "pass" else WANTING


async def ask(where: str, asked: Mapping[str, str], *, key: str = "", within: float = 10.0) -> dict[str, Told]:
    """Ask a server for several things; what it doesn't answer is told with why."""
    url = urlsplit(where)
    by_file = not url.scheme
    connector = aiohttp.UnixConnector(where) if by_file else None
    base = "http://localhost" if by_file else where.rstrip("/")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limit = aiohttp.ClientTimeout(total=within)
    found: dict[str, Told] = {}
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=limit) as client:
        for name, path in asked.items():
            found[name] = await _ask(client, base + path)
    return found


async def _ask(client: aiohttp.ClientSession, url: str) -> Told:
    try:
        async with client.get(url, allow_redirects=False) as answer:
            body = await answer.content.read(LARGEST)
            found = msgspec.json.decode(body)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
        return Told(error=f"{type(exc).__name__}: {exc}"[:300])
    if answer.content_type == "application/problem+json" and isinstance(found, dict):
        return Told(answer.status, error=f"{found.get('title', '')} ({found.get('code', '')})")
    return Told(answer.status, found)


def findings(told: Mapping[str, Told], now: float) -> dict[str, Any]:
    """Return what matters."""
    health = _mapping(told["health"].body)
    agents = [each for each in _items(told["agents"]) if _mapping(each.get("statistics")).get("calls")]
    slowest = sorted(agents, key=lambda each: -float(each["statistics"]["p95"]))
    queues = [each for each in _items(told["messages"]) if _mapping(each.get("stats")).get("dead")]
    long_ago = [each for each in _items(told["running"]) if now - float(each.get("created_at", now)) > LONG_AGO]
    return {
        "status": str(health.get("status", "fail")),
        "not_well": {
            name: f"{checks[0].get('status')}: {checks[0].get('output', '')}".rstrip(": ")
            for name, checks in _mapping(health.get("checks")).items()
            if checks and checks[0].get("status") != "pass"
        },
        "plugins": {
            str(each["name"]): f"{each['state']}: {each.get('reason', '')}".rstrip(": ")
            for each in _items(told["plugins"])
            if each.get("state") in ("failed", "waiting", "starting", "stopping")
        },
        "slowest_agents": {
            str(each["address"]): {name: each["statistics"].get(name) for name in ("calls", "errors", "p95")}
            for each in slowest[:SHOWN]
        },
        "degraded_agents": [
            str(each["address"])
            for each in _items(told["agents"])
            if _mapping(each.get("card")).get("status") == "degraded"
        ],
        "dead_letters": {
            str(each["queue"]): {
                "dead": each["stats"]["dead"],
                "oldest_seconds": round(now - each["oldest_dead_at"]) if each.get("oldest_dead_at") else None,
            }
            for each in queues
        },
        "runs": {
            "stuck": [str(each["id"]) for each in _items(told["stuck"])],
            "set_aside": [str(each["id"]) for each in _items(told["set-aside"])],
            "running_for_long": [str(each["id"]) for each in long_ago[:SHOWN]],
        },
        "not_told": {name: each.error for name, each in told.items() if each.error},
    }


def rows(shown: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Return what matters as lines of a table."""
    yield "deployment", shown["status"], ""
    for name, how in {**shown["not_well"], **shown["plugins"]}.items():
        yield f"plugin {name}", *_parts(how)
    for address in shown["degraded_agents"]:
        yield f"agent {address}", "degraded", "its calls fail: its plugin's log says why"
    for address, each in shown["slowest_agents"].items():
        yield f"agent {address}", f"p95 {each['p95']:.3f} s", f"{each['errors']} errors in {each['calls']} calls"
    for queue, each in shown["dead_letters"].items():
        age = f"the oldest for {each['oldest_seconds']} s" if each["oldest_seconds"] is not None else ""
        yield f"queue {queue}", f"{each['dead']} dead letters", age
    for what, ids in shown["runs"].items():
        for id in ids:
            yield f"run {id}", what.replace("_", " "), f"GET /runs/{id}/history says what happened"
    for name, why in shown["not_told"].items():
        yield name, "not told", why


def _parts(how: str) -> tuple[str, str]:
    status, _, more = how.partition(": ")
    return status, more


def _items(told: Told) -> list[Mapping[str, Any]]:
    found = _mapping(told.body).get("items")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _write(path: Path, text: str) -> None:
    """Write what only its owner may read: there are no secrets in it, and names of people."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
