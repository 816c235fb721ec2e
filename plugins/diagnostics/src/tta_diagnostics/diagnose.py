"""``tta diagnose``: what matters of a running deployment, as somebody wants to read it at night."""

from __future__ import annotations

import argparse
import os
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import msgspec

from tta_kernel import Kernel
from tta_program import DONE, WANTING, Subcommands, fail, print_json, table
from tta_program.arguments import some_time
from tta_program.logs import Redactor

from . import proofs

if TYPE_CHECKING:
    import aiohttp

ASKED = {
    "readiness": "/readyz?verbose",
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
MANY = 100
"""Messages that wait in a queue before that is worth a look, as the alert `TtaQueueGrows` has it."""
LATE = 60.0
"""Seconds for which a message waits before that is worth a look, as the alert `TtaMessagesWait` has it."""
NOT_SERVING = {"started": "it has not started yet", "not-stopping": "it is stopping"}
"""What the server's own checks mean when they fail."""
LARGEST = 32 * 2**20
SHOWN = 5


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a route has answered, or why it hasn't."""

    status: int = 0
    body: Any = None
    error: str = ""
    code: str = ""


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    text = "ask a running deployment what matters: health, slow agents, dead letters, stuck runs; 0 where all is well"
    parser = subcommands.add("diagnose", _run, help=text)
    parser.add_argument(
        "where", type=_where, metavar="URL|SOCKET", help="such as http://127.0.0.1:8503, or a Unix socket's path"
    )
    proofs.add(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "write all that was told, config and figures too, into a file for a bug report, without secrets"
    parser.add_argument("--bundle", type=Path, metavar="FILE", help=text)
    parser.add_argument("--timeout", type=some_time, default=15.0, metavar="TIME", help="for each question (15s)")


def _where(text: str) -> str:
    """Refuse what can't be asked at once: else somebody looks at a process which is well."""
    base, socket = _address(text)
    if text.startswith("https+unix://"):
        raise argparse.ArgumentTypeError("it speaks no TLS through a Unix socket: give an address, or one without tls")
    if "://" in socket:
        raise argparse.ArgumentTypeError("a URL begins with http:// or https://")
    try:
        url = urlsplit(base)
        named = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        named = False
    if not named:
        raise argparse.ArgumentTypeError("that is no URL: it reads http://HOST:PORT")
    return text


async def _run(kernel: Kernel, options: argparse.Namespace) -> int:
    asked = {**ASKED, **(ONLY_BUNDLED if options.bundle else {})}
    redact = Redactor(kernel.secrets)
    try:
        tls = proofs.context_of(options)
    except proofs.Unusable as exc:
        return fail("diagnose", str(exc))
    told = await ask(options.where, asked, key=os.environ.get("TTA_KEY", ""), within=options.timeout, tls=tls)
    if not any(each.status for each in told.values()):
        error = told["health"].error
        hint = proofs.HINT if "CERTIFICATE_VERIFY_FAILED" in error else ""
        return fail("diagnose", f"nothing answers at {redact(options.where)}: {redact(error)}{hint}")
    if options.bundle:
        try:
            await anyio.to_thread.run_sync(_write, options.bundle, redact(msgspec.json.encode(told).decode()))
        except OSError as exc:
            return fail("diagnose", f"{options.bundle} can't be written: {exc.strerror}; say another --bundle FILE")
    shown = findings(told, time.time())
    if options.json:
        print_json(shown)
    else:
        table([("WHAT", "HOW", "MORE"), *rows(shown)])
        if options.bundle:
            table([("written to", str(options.bundle))])
    return DONE if is_well(shown) else WANTING


async def ask(
    where: str,
    asked: Mapping[str, str],
    *,
    key: str = "",
    within: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> dict[str, Told]:
    """Ask a server for several things; what it doesn't answer is told with why."""
    import aiohttp  # All commands are added, and this one alone needs a client.

    base, socket = _address(where)
    connector = aiohttp.UnixConnector(socket) if socket else None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limit = aiohttp.ClientTimeout(total=within)
    found = {name: Told() for name in asked}
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as client, anyio.create_task_group() as group:

        async def look(name: str, path: str) -> None:
            # Readiness is told to everybody, even while nobody can tell whose a key is: the store of keys is away.
            shown = {} if path.startswith("/readyz") else headers
            found[name] = await _ask(client, base + path, shown, tls)

        # At once: where a store is away, each answer takes as long as its route may.
        for name, path in asked.items():
            group.start_soon(look, name, path)
    return found


def _address(where: str) -> tuple[str, str]:
    """Return the URL that is meant, and a socket's path where it is to be asked through one."""
    if where.startswith("http+unix://"):  # as a server says where it serves
        return "http://localhost", where.removeprefix("http+unix://")
    if where.startswith(("http://", "https://")):
        return where.rstrip("/"), ""
    return (f"http://{where}", "") if ":" in where and "/" not in where else ("http://localhost", where)


async def _ask(client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> Told:
    import aiohttp

    try:
        async with client.get(url, headers=headers, allow_redirects=False, ssl=tls or True) as answer:
            body = await answer.content.read(LARGEST)
            found = body.decode() if answer.content_type == "text/plain" else msgspec.json.decode(body)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
        return Told(error=f"{type(exc).__name__}: {exc}"[:300])
    if answer.content_type == "application/problem+json" and isinstance(found, dict):
        why = str(found.get("detail") or found.get("title", ""))
        return Told(answer.status, error=why, code=str(found.get("code", "")))
    return Told(answer.status, found)


def findings(told: Mapping[str, Told], now: float) -> dict[str, Any]:
    """Return what matters."""
    checks = _checks(told)
    status = _mapping(told["health"].body).get("status") or _worst(how for how, _ in checks.values())
    agents = [each for each in _items(told["agents"]) if _mapping(each.get("statistics")).get("calls")]
    slowest = sorted(agents, key=lambda each: -float(each["statistics"]["p95"]))
    queues = [each for each in _items(told["messages"]) if isinstance(each.get("stats"), dict)]
    waits = [
        (each, sum(_mapping(each["stats"].get("waiting")).values()), round(each["stats"].get("oldest_age", 0)))
        for each in queues
    ]
    long_ago = [each for each in _items(told["running"]) if now - float(each.get("created_at", now)) > LONG_AGO]
    return {
        "status": str(status),
        "not_well": {name: f"{how}: {why}".rstrip(": ") for name, (how, why) in checks.items() if how != "pass"},
        "plugins": {
            str(each["name"]): f"{each['state']}: {each.get('reason', '')}".rstrip(": ")
            for each in _items(told["plugins"])
            if each.get("state") in ("failed", "waiting", "starting", "stopping")
        },
        "slowest_agents": {
            str(each["address"]): {name: each["statistics"].get(name) for name in ("calls", "errors", "p95")}
            | {"timeout": _mapping(each.get("card")).get("timeout")}
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
            if each["stats"].get("dead")
        },
        "full_queues": {
            str(each["queue"]): {"waiting": waiting, "refused": each["stats"].get("refused", 0), "oldest_seconds": age}
            for each, waiting, age in waits
            if waiting > MANY or age > LATE
        },
        "runs": {
            "stuck": [str(each["id"]) for each in _items(told["stuck"])],
            "set_aside": [str(each["id"]) for each in _items(told["set-aside"])],
            "running_for_long": [str(each["id"]) for each in long_ago[:SHOWN]],
        },
        "not_told": {
            name: {"code": each.code or "no-answer", "why": each.error}
            for name, each in told.items()
            if each.error and each.code != "not-found"  # That plugin isn't there, so it can't be unwell.
        },
    }


def is_well(shown: Mapping[str, Any]) -> bool:
    """Say whether there is nothing that somebody must look at; in doubt there is."""
    named = ("not_well", "plugins", "degraded_agents", "dead_letters", "full_queues", "not_told")
    return shown["status"] == "pass" and not any(shown[name] for name in named) and not any(shown["runs"].values())


def rows(shown: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Return what matters as lines of a table."""
    yield "deployment", shown["status"], ""
    for name, how in {**shown["not_well"], **shown["plugins"]}.items():
        if name in NOT_SERVING:
            yield "deployment", _parts(how)[0], NOT_SERVING[name]
        else:
            yield f"plugin {name}", *_parts(how)
    for address in shown["degraded_agents"]:
        yield f"agent {address}", "degraded", "its calls fail: its plugin's log says why"
    for address, each in shown["slowest_agents"].items():
        of = f" of at most {each['timeout']:g} s" if each["timeout"] else ""
        yield f"agent {address}", f"p95 {each['p95']:.3f} s{of}", f"{each['errors']} errors in {each['calls']} calls"
    for queue, each in shown["dead_letters"].items():
        age = f"the oldest for {each['oldest_seconds']} s" if each["oldest_seconds"] is not None else ""
        yield f"queue {queue}", f"{each['dead']} dead letters", age
    for queue, each in shown["full_queues"].items():
        told = f"the oldest for {each['oldest_seconds']} s; {each['refused']} were refused"
        yield f"queue {queue}", f"{each['waiting']} waiting", told
    for what, ids in shown["runs"].items():
        for id in ids:
            yield f"run {id}", what.replace("_", " "), f"GET /runs/{id}/history says what happened"
    yield from _not_told(shown["not_told"])


def _not_told(not_told: Mapping[str, Mapping[str, str]]) -> Iterator[Sequence[str]]:
    """Return a line for each reason: all that needs a key is told of in one."""
    for code in dict.fromkeys(each["code"] for each in not_told.values()):
        names = [name for name, each in not_told.items() if each["code"] == code]
        why = ", ".join(dict.fromkeys(not_told[name]["why"] for name in names))
        hint = "; the key of who asks is to stand in TTA_KEY" if code == "unauthenticated" else ""
        yield "not told", code, f"{', '.join(names)}: {why}{hint}"


def _checks(told: Mapping[str, Told]) -> dict[str, tuple[str, str]]:
    """Return how each check is, and why; without the latter where only readiness was told."""
    found = {
        str(name): (str(checks[0].get("status")), str(checks[0].get("output", "")))
        for name, checks in _mapping(_mapping(told["health"].body).get("checks")).items()
        if checks
    }
    if found or not isinstance(told["readiness"].body, str):
        return found
    lines = [line[3:].split() for line in told["readiness"].body.splitlines() if line.startswith(("[+]", "[-]"))]
    return {line[0]: (line[1], "") for line in lines if len(line) == 2}


def _worst(found: Iterable[str]) -> str:
    """Return the worst status; nobody who says how they are is not well either."""
    statuses = {*found}
    return next((each for each in ("fail", "warn", "pass") if each in statuses), "fail")


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
