"""redis-py's own client, held to our limits."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from .config import Config, addresses


class PlainClient:
    """A client that never waits for ever, and sends nothing twice."""

    def __init__(self, config: Config) -> None:
        username, password = config.credentials()
        limits: dict[str, Any] = {
            "socket_timeout": config.socket_timeout,
            "socket_connect_timeout": config.connect_timeout,
            "max_connections": config.client_connections,
            "protocol": 2,
        }
        options = {**limits, "username": username or None, "password": password or None}
        tls = _tls(config)
        # redis-py repeats whatever was lost; nobody but the caller knows what may be.
        never = Retry(NoBackoff(), 0)
        self._sentinels: Sentinel | None = None
        self.client: redis.asyncio.Redis | redis.asyncio.RedisCluster
        if config.cluster:
            nodes = [ClusterNode(*address) for address in addresses(config.cluster.nodes, 6379)]
            self.client = redis.asyncio.RedisCluster(
                startup_nodes=nodes, require_full_coverage=False, retry=never, **options, **tls
            )  # fmt: skip
        elif config.sentinel:
            own = {"username": config.sentinel.username or None, "password": config.sentinel.password or None}
            self._sentinels = Sentinel(  # type: ignore[no-untyped-call]
                [tuple(address) for address in addresses(config.sentinel.hosts, 26379)],
                sentinel_kwargs={**limits, **own, **(tls if config.sentinel.tls else {})},
            )
            self.client = self._sentinels.master_for(
                config.sentinel.master, db=config.number(), retry=never, **options, **tls
            )  # fmt: skip
        else:
            address = config.server().address
            where: dict[str, Any] = (
                {"host": address.host, "port": address.port} if address.port else {"unix_socket_path": address.host}
            )
            self.client = redis.asyncio.Redis(**where, db=config.number(), retry=never, **options, **tls)

    async def aclose(self) -> None:
        """End its connections."""
        await self.client.aclose()
        for sentinel in self._sentinels.sentinels if self._sentinels else ():
            await sentinel.aclose()


def _tls(config: Config) -> dict[str, Any]:
    if (tls := config.secure) is None:
        return {}
    options: dict[str, Any] = {
        "ssl": True, "ssl_ca_certs": tls.ca, "ssl_certfile": tls.cert, "ssl_keyfile": tls.key
    }  # fmt: skip
    return options if tls.verify else options | {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
