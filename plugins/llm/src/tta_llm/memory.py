"""Budgets in memory: for one process, and what it has spent ends with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from .budgets import Account, Amount, BudgetsError, Reserved


class _Charged(Struct):
    """An account as far as it is charged."""

    subject: str
    ends: float
    tokens: int = 0
    money: int = 0


class _Reservation(Struct):
    """What a key has charged to which accounts."""

    accounts: tuple[str, ...]
    amount: Amount
    until: float
    settled: bool = False


class MemoryBudgets:
    """Keeps at most ``most`` accounts, and as many keys; ``clock`` gives seconds since the epoch."""

    durable = False

    def __init__(self, clock: Callable[[], float], *, most: int = 100_000) -> None:
        self._clock, self._most = clock, most
        self._accounts: dict[str, _Charged] = {}
        self._keys: dict[str, _Reservation] = {}

    @property
    def accounts(self) -> int:
        """How many accounts there are."""
        return len(self._accounts)

    async def reserve(self, key: str, accounts: Sequence[Account], amount: Amount, *, hold: float) -> Reserved:
        now = self._clock()
        known = self._keys.get(key)
        if known is not None and known.until > now:
            return Reserved(repeated=True)
        if len(self._keys) >= self._most or len(self._accounts) + len(accounts) > self._most:
            self._drop_ended(now)
        if len(self._keys) >= self._most or len(self._accounts) + len(accounts) > self._most:
            # A dropped account would begin anew, and a dropped key be charged twice.
            raise BudgetsError(f"there are {self._most} accounts or keys of budgets, which is the most")
        charged = [self._account(each, now) for each in accounts]
        for account, it in zip(accounts, charged, strict=True):
            if _is_over(it.tokens, amount.tokens, account.tokens) or _is_over(it.money, amount.money, account.money):
                return Reserved(over=account.name)
        for account, it in zip(accounts, charged, strict=True):
            it.tokens += amount.tokens
            it.money += amount.money
            self._accounts[account.name] = it
        self._keys[key] = _Reservation(tuple(each.name for each in accounts), amount, now + hold)
        return Reserved()

    async def settle(self, key: str, amount: Amount, *, keep: float) -> bool:
        now = self._clock()
        known = self._keys.get(key)
        if known is None or known.settled or known.until <= now:
            return False
        for name in known.accounts:
            it = self._accounts.get(name)
            if it is not None:
                it.tokens = max(0, it.tokens + amount.tokens - known.amount.tokens)
                it.money = max(0, it.money + amount.money - known.amount.money)
        if keep > 0:
            known.settled, known.until = True, now + keep
        else:
            del self._keys[key]
        return True

    async def read(self, accounts: Sequence[str]) -> Sequence[Amount]:
        now = self._clock()
        found = [self._accounts.get(name) for name in accounts]
        return [Amount(it.tokens, it.money) if it is not None and it.ends > now else Amount() for it in found]

    async def forget(self, subject: str) -> int:
        theirs = [name for name, it in self._accounts.items() if subject and it.subject == subject]
        for name in theirs:
            del self._accounts[name]
        return len(theirs)

    def _account(self, account: Account, now: float) -> _Charged:
        """Return what an account is charged, or a new one, which isn't kept yet."""
        it = self._accounts.get(account.name)
        if it is None or it.ends <= now:
            return _Charged(account.subject, account.ends)
        return it

    def _drop_ended(self, now: float) -> None:
        self._accounts = {name: it for name, it in self._accounts.items() if it.ends > now}
        self._keys = {key: it for key, it in self._keys.items() if it.until > now}


def _is_over(charged: int, more: int, most: int | None) -> bool:
    return most is not None and charged + more > most
