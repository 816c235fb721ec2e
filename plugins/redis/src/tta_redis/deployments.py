"""The three ways Redis is run, as configured: one server, behind Sentinels, a Cluster."""

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from .cluster import Cluster
from .config import Address, Config, SentinelConfig, addresses
from .connection import Connection, Login, pack
from .errors import ConnectionLost, Refused, Unreachable
from .nodes import Nodes, SingleMaster


def nodes_of(config: Config) -> Nodes:
    """Return the servers that ``config`` means; raise an OSError or ValueError for unusable TLS files."""
    server = config.server()
    tls = config.secure.context() if config.secure else None

    def login(username: str, password: str, database: int, *, secure: bool) -> Login:
        return Login(
            username=username, password=password, database=database, tls=tls if secure else None,
            name=re.sub(r"[^!-~]", "-", f"{config.prefix}-{socket.gethostname()}-{os.getpid()}"),
            connect_timeout=config.connect_timeout, socket_timeout=config.socket_timeout,
            max_pending=config.max_pending,
        )  # fmt: skip

    main = login(*config.credentials(), config.number(), secure=True)
    if config.cluster:
        return Cluster(main, addresses(config.cluster.nodes, 6379), config)
    if config.sentinel:
        sentinel = config.sentinel
        ask = login(sentinel.username, sentinel.password, 0, secure=sentinel.tls)
        return SingleMaster(through_sentinels(sentinel, ask, main), config)
    return SingleMaster(standalone(server.address, main), config)


def standalone(address: Address, login: Login) -> Callable[..., Any]:
    """Connect to the one server that there is."""

    async def connect(kind: Callable[..., Connection] = Connection) -> Connection:
        connection = await login.open(address, kind)
        match connection.greeting.get("mode"), connection.greeting.get("role"):
            case "sentinel", _:
                refused: Exception = Refused(f"{address}: it is a Sentinel; set sentinel, not url")
            case "cluster", _:
                refused = Refused(f"{address}: it is a part of a Cluster; set cluster, not url")
            case _, "replica" | "slave":  # A name may soon lead to another server, or this one be promoted.
                problem = "it is a replica and refuses writes; name the master, or set sentinel"
                refused = Unreachable(f"{address}: {problem}")
            case _:
                return connection
        connection.abort("not what it should be")
        raise refused

    return connect


def through_sentinels(sentinel: SentinelConfig, ask: Login, login: Login) -> Callable[..., Any]:
    """Connect to whoever most Sentinels say is the master, and says so itself."""
    hosts = addresses(sentinel.hosts, 26379)

    async def connect(kind: Callable[..., Connection] = Connection) -> Connection:
        master = await current_master(hosts, sentinel.master, ask)
        connection = await login.open(master, kind)
        if connection.greeting.get("role") == "master":
            return connection
        connection.abort("it is no master")
        raise Unreachable(f"{master}: the Sentinels call it the master, and it isn't, or not yet")

    return connect


async def current_master(hosts: Sequence[Address], name: str, login: Login) -> Address:
    """Ask all Sentinels at once, until most agree or all have answered or are late."""
    votes: Counter[Address | None] = Counter()
    problems: list[Exception] = []

    async def ask(host: Address) -> None:
        connection = None
        try:
            connection = await login.open(host)
            answer = await connection.send(pack(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)), 1, login.limit)
            votes[Address(answer[0].decode(), int(answer[1])) if isinstance(answer, list) else None] += 1
        except (Unreachable, Refused, ConnectionLost) as exc:
            problems.append(exc)
        finally:
            if connection is not None:
                connection.abort("asked")
        if any(count > len(hosts) / 2 for address, count in votes.items() if address):
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.cancel_scope.deadline = anyio.current_time() + login.limit
        for host in hosts:
            tasks.start_soon(ask, host)
    named = Counter({address: count for address, count in votes.items() if address})
    if named:
        return named.most_common(1)[0][0]
    if votes:
        raise Refused(f"the Sentinels know no master {name!r}; see sentinel.master")
    refused = [problem for problem in problems if isinstance(problem, Refused)]
    if refused:
        raise refused[0]
    raise Unreachable(f"no Sentinel answers: {'; '.join(sorted(map(str, problems))) or 'all are late'}")
