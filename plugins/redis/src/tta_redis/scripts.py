"""A Lua script that is called like a function."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any


class Script:
    """Runs on the server, whole or not at all as others see it; on a Cluster its keys share a slot."""

    def __init__(self, source: str, run: Callable[..., Awaitable[Any]]) -> None:
        self.source = source
        self._run = run
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self,
        keys: Sequence[str | bytes] = (),
        args: Iterable[str | bytes | int | float] = (),
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # late is not undone: the error says what is known
        retry: bool = False,
        replicas: int = 0,
        replica_timeout: float = 1.0,
    ) -> Any:
        """Run it; with ``replicas`` the result is ``(reply, how many replicas have it)``.

        Those are waited for up to ``replica_timeout`` seconds. ``retry=True`` promises that running twice does no
        harm. Raises `redis.exceptions.ResponseError` as Redis does, and `RedisDown`.
        """
        return await self._run(
            self.sha, keys, args, limit=timeout, retry=retry, replicas=replicas, replica_timeout=replica_timeout
        )  # fmt: skip

    def command(
        self, keys: Sequence[str | bytes] = (), args: Iterable[str | bytes | int | float] = ()
    ) -> tuple[Any, ...]:
        """Return the call as a command for a pipeline."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)
