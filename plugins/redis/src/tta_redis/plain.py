"""redis-py's own client, held to our limits."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .config import Config, Tls


def plain_client(config: Config) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
    """Return a client that never waits for ever, and sends nothing twice."""
    server = config.server()
    options: dict[str, Any] = {
        "username": config.username or server.username or None,
        "password": config.password or server.password or None,
        "socket_timeout": config.socket_timeout,
        "socket_connect_timeout": config.connect_timeout,
        "protocol": 2,
        "max_connections": config.client_connections,
    }
    database = server.database if config.database is None else config.database
    if config.secure is not None:
        options |= {"ssl": True, **_tls(config.secure)}
    # redis-py repeats whatever was lost; nobody but the caller knows what may be.
    never = Retry(NoBackoff(), 0)
    if not server.address.port:
        options["unix_socket_path"] = server.address.host
    else:
        options |= {"host": server.address.host, "port": server.address.port}
    return redis.asyncio.Redis(**options, db=database, retry=never)


def _tls(tls: Tls) -> dict[str, Any]:
    options: dict[str, Any] = {
        "ssl_ca_certs": tls.ca or None, "ssl_certfile": tls.cert or None, "ssl_keyfile": tls.key or None
    }  # fmt: skip
    return options if tls.verify else options | {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
