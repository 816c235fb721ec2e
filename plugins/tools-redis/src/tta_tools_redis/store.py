"""The store: its parts, and what spans them."""

from __future__ import annotations

from tta_kernel import check_count, check_duration
from tta_redis import Redis, Replication
from tta_tools import ToolStoreError

from .approvals import Approvals
from .part import log, store_errors
from .registry import Registry
from .results import Results
from .sums import Sums


class RedisToolStore:
    """The tools, results, approvals and figures of all processes that share a Redis; at most ``most`` of each.

    Results have ``size`` bytes in all, and so have those under keys of calls. A write waits up to ``wait_timeout``
    until ``wait_replicas`` have it, and counts whether they do or not.
    """

    durable = True

    def __init__(
        self, redis: Redis, *, most: int = 10_000, size: int = 64 * 2**20, poll: float = 5.0,
        keep_figures: float = 30 * 86_400.0, wait_replicas: int = 0, wait_timeout: float = 1.0,
    ) -> None:  # fmt: skip
        check_count("most", most)
        check_count("size", size)
        check_duration("poll", poll, positive=True)
        check_duration("keep_figures", keep_figures, positive=True)
        self._redis = redis
        self._replication = Replication(wait_replicas, wait_timeout, what="tools", log=log)
        registry = self._registry = Registry(redis, self._replication, most=most, poll=poll)
        results = self._results = Results(redis, self._replication, most=most, size=size)
        approvals = self._approvals = Approvals(redis, self._replication, most=most)
        sums = Sums(redis, self._replication, most=most, keep_figures=keep_figures)

        self.listening = registry.listening
        self.tools = registry.tools
        self.register, self.get, self.versions, self.page = (
            registry.register, registry.get, registry.versions, registry.page,
        )  # fmt: skip
        self.deprecate, self.touch, self.cleanup, self.changes = (
            registry.deprecate, registry.touch, registry.cleanup, registry.changes,
        )  # fmt: skip
        self.claim_build, self.renew_build, self.finish_build = (
            registry.claim_build, registry.renew_build, registry.finish_build,
        )  # fmt: skip
        self.claim, self.keep, self.release = results.claim, results.keep, results.release
        self.fetch, self.put = results.fetch, results.put
        self.ask, self.decide, self.take = approvals.ask, approvals.decide, approvals.take
        self.give_back = approvals.give_back
        self.approval, self.approvals = approvals.approval, approvals.approvals
        self.count, self.figures = sums.count, sums.figures

    @property
    def unconfirmed(self) -> str:
        """Say why the last write would be lost with its master; nothing where enough replicas have it."""
        return self._replication.unconfirmed

    async def forget(self, owner: str) -> int:
        if not owner:
            return 0
        with store_errors:
            count = await self._results.forget(owner) + await self._approvals.forget(owner)
            unconfirmed = await self._replication.confirm(
                self._redis, [*self._results.places, *self._approvals.places]
            )  # fmt: skip
        if unconfirmed:
            raise ToolStoreError(f"{count} results and approvals are forgotten, and {unconfirmed}: forget once more")
        return count
