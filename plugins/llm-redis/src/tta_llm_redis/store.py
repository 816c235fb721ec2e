"""Budgets on Redis: one script charges all accounts of a reservation, and one puts them right."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from tta_llm import Account, Amount, BudgetsError, Reserved
from tta_redis import Redis, Replication, Script, StoreErrors

from . import scripts

TAG = "budgets"
"""On a Cluster all budgets share a slot, so that one reservation charges several of them together."""
_errors = StoreErrors(lambda exc: BudgetsError(f"the store of budgets: {exc}"))


class RedisBudgets:
    """Keeps accounts and reservations, each as long as it counts."""

    durable = True

    def __init__(
        self, redis: Redis, log: logging.Logger, *, wait_replicas: int = 0, wait_timeout: float = 1.0
    ) -> None:  # fmt: skip
        self._redis = redis
        self._replication = Replication(wait_replicas, wait_timeout, what="charges to budgets", log=log)
        self._reserve, self._settle = redis.script(scripts.RESERVE), redis.script(scripts.SETTLE)
        self._read, self._forget = redis.script(scripts.READ), redis.script(scripts.FORGET)
        self.reservations = 0

    @property
    def unconfirmed(self) -> str:
        """Say why the last charge would be lost with its master; nothing where enough replicas have it."""
        return self._replication.unconfirmed

    async def reserve(self, key: str, accounts: Sequence[Account], amount: Amount, *, hold: float) -> Reserved:
        names = [self._account(each.name) for each in accounts]
        subjects = [
            self._subject(each.subject) if each.subject else name for each, name in zip(accounts, names, strict=True)
        ]
        args: list[Any] = [_milliseconds(hold), amount.tokens, amount.money]
        for each in accounts:
            args += [_most(each.tokens), _most(each.money), _milliseconds(each.ends)]
        # Done twice, the second time is a repeat, and charges nothing.
        found = int(await self._run(self._reserve, [self._reservation(key), *names, *subjects], args))
        if found > 0:
            return Reserved(over=accounts[found - 1].name)
        self.reservations += found == 0
        return Reserved(repeated=found < 0)

    async def settle(self, key: str, amount: Amount, *, keep: float) -> bool:
        args = [_milliseconds(keep) if keep > 0 else 0, amount.tokens, amount.money]
        return bool(await self._run(self._settle, [self._reservation(key)], args))

    async def read(self, accounts: Sequence[str]) -> Sequence[Amount]:
        if not accounts:
            return []
        with _errors:
            found = await self._read([self._account(name) for name in accounts], retry=True)
        numbers = [max(0, int(each)) for each in found]
        return [Amount(*each) for each in zip(numbers[::2], numbers[1::2], strict=True)]

    async def forget(self, subject: str) -> int:
        return int(await self._run(self._forget, [self._subject(subject)], ())) if subject else 0

    async def _run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        with _errors:
            return await self._replication.run(script, keys, args)

    def _account(self, name: str) -> str:
        return self._redis.key("llm", "account", name, tag=TAG)

    def _reservation(self, key: str) -> str:
        return self._redis.key("llm", "reservation", key, tag=TAG)

    def _subject(self, subject: str) -> str:
        return self._redis.key("llm", "subject", subject, tag=TAG)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _most(most: int | None) -> int | str:
    return "" if most is None else most
