"""Servers together: a master with replicas and Sentinels, and a Cluster."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tta_redis.client import Redis, connect
from tta_redis.config import ClusterConfig, Config, SentinelConfig

from .server import PATIENT, RedisServer, wait_until

NAME = "mymaster"


class Sentinels:
    """``servers``, of which one is the master, watched by ``watchers``."""

    def __init__(self, servers: Sequence[RedisServer], watchers: Sequence[RedisServer]) -> None:
        self.servers = servers
        self.watchers = watchers

    def config(self, **changes: Any) -> Config:
        """Return the config of a client, with a prefix of its own."""
        hosts = tuple(f"127.0.0.1:{each.port}" for each in self.watchers)
        sentinel = SentinelConfig(hosts=hosts, master=NAME, password=self.watchers[0].password)
        config = Config(
            sentinel=sentinel, password=self.servers[0].password, prefix=f"t{uuid.uuid4().hex[:12]}"
        )  # fmt: skip
        return msgspec.structs.replace(config, **{**PATIENT, **changes})

    def master(self, watcher: int = 0) -> RedisServer:
        """Return whom a Sentinel calls the master."""
        _, port = self.watchers[watcher].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return next(server for server in self.servers if server.port == int(port))

    def replicas(self) -> list[RedisServer]:
        """Return the others."""
        master = self.master()
        return [server for server in self.servers if server is not master]

    def ready(self) -> bool:
        """Whether all Sentinels know each other and all replicas, and these are in step."""
        masters = [dict(_pairs(each.command("SENTINEL", "MASTER", NAME))) for each in self.watchers]
        others = str(len(self.watchers) - 1)
        known = all(it["num-other-sentinels"] == others and it["flags"] == "master" for it in masters)
        replicas = all(it["num-slaves"] == str(len(self.servers) - 1) for it in masters)
        info = self.master().command("INFO", "replication")
        return known and replicas and info["connected_slaves"] == len(self.servers) - 1 and _in_step(info)


@contextmanager
def sentinel(
    *options: str, replicas: int = 1, sentinels: int = 3, down_after: float = 0.5, password: str = ""
) -> Iterator[Sentinels]:
    """Run a master, replicas and Sentinels, which give the master up after ``down_after`` seconds of silence."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tta-sentinel-")))
        own = ["--repl-diskless-sync-delay", "0"]
        if password:
            own += ["--masterauth", password]
        master = _server(folder, "r0", *own, *options, password=password)
        servers = [master]
        for number in range(1, replicas + 1):
            of = ("--replicaof", "127.0.0.1", str(master.port))
            servers.append(_server(folder, f"r{number}", *own, *of, *options, password=password))
        watchers = [_server(folder, f"s{number}", password=password, sentinel=True) for number in range(sentinels)]
        for each in watchers:
            lines = [
                f"sentinel monitor {NAME} 127.0.0.1 {master.port} {sentinels // 2 + 1}",
                f"sentinel down-after-milliseconds {NAME} {int(down_after * 1000)}",
                # Where all vote for themselves, which happens, the next try comes after twice this.
                f"sentinel failover-timeout {NAME} 1500",
            ]
            if password:
                lines += [f"sentinel auth-pass {NAME} {password}", f"sentinel sentinel-pass {password}"]
            (each.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        for each in (*servers, *watchers):
            stack.callback(each.stop)
            each.start()
        found = Sentinels(servers, watchers)
        wait_until(found.ready, "Sentinels and replicas know each other")
        yield found


class RedisCluster:
    """The nodes of a Cluster: first the masters it began with, then their replicas."""

    def __init__(self, nodes: Sequence[RedisServer], masters: int) -> None:
        self.nodes = nodes
        self._masters = masters

    def config(self, **changes: Any) -> Config:
        """Return the config of a client, with a prefix of its own."""
        nodes = tuple(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        config = Config(
            cluster=ClusterConfig(nodes=nodes), password=self.nodes[0].password, prefix=f"t{uuid.uuid4().hex[:12]}"
        )  # fmt: skip
        return msgspec.structs.replace(config, **{**PATIENT, **changes})

    def owner(self, key: str, asked: int = -1) -> RedisServer:
        """Return the master of a key, as one node sees it."""
        node = self.nodes[asked]
        slot = self.slot(key)
        for first, last, (_, port, *_), *_ in _parts(node):
            if first <= slot <= last:
                return next(each for each in self.nodes if each.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def slot(self, key: str) -> int:
        """Return the slot of a key."""
        return int(self.nodes[-1].command("CLUSTER", "KEYSLOT", key))

    def begin_move(self, key: str, to: RedisServer) -> None:
        """Begin to give a key's slot away: from now on what isn't there any more is asked for at ``to``."""
        source = self.owner(key)
        slot = self.slot(key)
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(to))

    def move(self, key: str, to: RedisServer) -> None:
        """Give a key's slot to another master, with what is in it."""
        source = self.owner(key)
        slot = self.slot(key)
        self.begin_move(key, to)
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        for node in (to, source):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", _id(to))

    def ready(self) -> bool:
        """Whether all nodes agree that all is well."""
        for node in self.nodes:
            lines = _text(node.command("CLUSTER", "INFO")).split()
            if not {"cluster_state:ok", f"cluster_known_nodes:{len(self.nodes)}"} <= {*lines}:
                return False
            if sum(1 for part in _parts(node) for _ in part[2:]) != len(self.nodes):
                return False
        replicas = [node.command("INFO", "replication") for node in self.nodes[self._masters :]]
        masters = [node.command("INFO", "replication") for node in self.nodes[: self._masters]]
        linked = all(info["role"] == "slave" and info["master_link_status"] == "up" for info in replicas)
        return linked and all(map(_in_step, masters))


@contextmanager
def cluster(*options: str, masters: int = 3, replicas: int = 1, timeout: float = 1.0) -> Iterator[RedisCluster]:
    """Run a Cluster, which gives up a silent node after ``timeout`` seconds; ``replicas`` are per master."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tta-cluster-")))
        own = (
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(int(timeout * 1000)),
            "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", *options,
        )  # fmt: skip
        nodes = [_server(folder, f"n{number}", *own) for number in range(masters * (1 + replicas))]
        for number, node in enumerate(nodes):
            stack.callback(node.stop)
            node.start()
            # All with one epoch, they would quarrel over the slots first.
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in nodes[:number]:  # Gossip would do, and take its time.
                node.command("CLUSTER", "MEET", "127.0.0.1", other.port)
        edges = [16384 * number // masters for number in range(masters + 1)]
        for node, first, end in zip(nodes, edges, edges[1:], strict=False):
            node.command("CLUSTER", "ADDSLOTS", *range(first, end))
        wait_until(lambda: all(_known(node) == len(nodes) for node in nodes), "the nodes have met")
        for number, node in enumerate(nodes[masters:]):
            node.command("CLUSTER", "REPLICATE", _id(nodes[number % masters]))
        found = RedisCluster(nodes, masters)
        wait_until(found.ready, "the Cluster is up")
        yield found


class OnACluster:
    """Puts tests that use the fixture `redis` on a Cluster: the first base of a class, before that of the tests."""

    @pytest.fixture(scope="class")
    @classmethod
    def nodes(cls) -> Iterator[RedisCluster]:
        with cluster(replicas=0) as found:
            yield found

    @pytest.fixture
    async def redis(self, nodes: RedisCluster) -> AsyncIterator[Redis]:
        async with connect(nodes.config()) as client:
            yield client


def _server(folder: Path, name: str, *options: str, password: str = "", sentinel: bool = False) -> RedisServer:
    own = folder / name
    own.mkdir()
    return RedisServer(own, *options, password=password, sentinel=sentinel)


def _parts(node: RedisServer) -> Any:
    return node.raw("CLUSTER", "SLOTS")


def _known(node: RedisServer) -> int:
    lines = _text(node.raw("CLUSTER", "NODES")).splitlines()
    return sum("handshake" not in line for line in lines)


def _id(node: RedisServer) -> str:
    return _text(node.command("CLUSTER", "MYID"))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _pairs(found: Any) -> list[tuple[str, str]]:
    if isinstance(found, dict):
        return [(_text(key), _text(value)) for key, value in found.items()]
    texts = [*map(_text, found)]
    return [*zip(texts[::2], texts[1::2], strict=True)]


def _in_step(info: dict[str, Any]) -> bool:
    replicas = [info[f"slave{number}"] for number in range(info["connected_slaves"])]
    return all(replica["state"] == "online" for replica in replicas)
