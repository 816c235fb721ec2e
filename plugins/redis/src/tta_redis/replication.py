"""Writes that replicas should have, too: waited for, and told where too few of them do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from logging import Logger
from typing import TYPE_CHECKING, Any

from tta_kernel import check_count, check_duration

from .scripts import Script

if TYPE_CHECKING:
    from .client import Redis


class Replication:
    """Runs scripts, and waits up to ``timeout`` seconds until ``replicas`` have what each has done.

    What too few have confirmed counts all the same: it is stored. ``unconfirmed`` says how it was with the last
    write, and is empty where enough had it; a change of that is logged once. ``what`` is written, such as ``sessions``.
    """

    def __init__(self, replicas: int, timeout: float, *, what: str, log: Logger) -> None:
        check_count("wait_replicas", replicas, least=0)
        check_duration("wait_timeout", timeout, positive=True)
        self.replicas, self.timeout = replicas, timeout
        self.unconfirmed = ""
        self._what, self._log = what, log

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any], *, retry: bool = True) -> Any:
        """Run a script; with ``retry`` it may run twice."""
        if not self.replicas:
            return await script(keys, arguments, retry=retry)
        reply, count = await script(
            keys, arguments, retry=retry, replicas=self.replicas, replica_timeout=self.timeout
        )  # fmt: skip
        self._note(count)
        return reply

    async def confirm(self, redis: Redis, keys: Iterable[str]) -> str:
        """Wait until enough replicas have what the masters of ``keys`` were told; say how many have it, if too few."""
        for key in keys if self.replicas else ():
            count = await redis.wait(self.replicas, self.timeout, key=key)
            if count < self.replicas:
                return f"{count} of {self.replicas} replicas have confirmed it"
        return ""

    def _note(self, count: int) -> None:
        before, self.unconfirmed = self.unconfirmed, ""
        if count < self.replicas:
            self.unconfirmed = f"{count} of {self.replicas} replicas confirmed the last commit in time"
            if not before:
                self._log.error("%s would be lost if their master were: %s", self._what, self.unconfirmed)
        elif before:
            self._log.info("enough replicas confirm the %s' commits again", self._what)
