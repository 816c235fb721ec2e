"""What a call is charged for: before it for the most that it may come to, and after it for what it did."""

from __future__ import annotations

import hashlib
import logging
import math
import secrets
from collections.abc import Callable, Iterator, Sequence

import anyio

from .budgets import MICRO, Account, Amount, Budgets, BudgetsError, Spent
from .errors import LlmError
from .model import ChatRequest, Usage
from .settings import Budget, Config, ModelSettings

_SETTLE = 2.0
"""Seconds that putting a charge right may take, whoever is cancelled; what isn't put right stays charged."""


class Charge:
    """One reservation, to be settled once; nothing where no budget counts for its request."""

    def __init__(self, charging: Charging, key: str, keep: float) -> None:
        self._charging, self._key, self._keep = charging, key, keep

    async def settle(self, amount: Amount) -> None:
        """Put it right, be the caller cancelled or not."""
        if self._key:
            with anyio.move_on_after(_SETTLE, shield=True):
                await self._charging.settle(self._key, amount, keep=self._keep)


class Charging:
    """Knows which budgets count for whom; ``clock`` gives seconds since the epoch."""

    def __init__(self, budgets: Budgets, config: Config, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._budgets, self._config, self._log, self._clock = budgets, config, log, clock
        self.unsettled = 0

    async def reserve(self, request: ChatRequest, call: str, amount: Amount) -> Charge:
        """Reserve an amount; ``call`` says which of the request's calls it is for, as a repeat of it would, too."""
        named = dict(self._counting(request))
        if not named:
            return Charge(self, "", 0.0)
        # One caller's keys are nobody else's. Without a key there is no repeat, and nothing to remember.
        own = request.key or secrets.token_hex(16)
        key = digest(request.owner, request.session, own, call)
        keep = self._config.keep_keys if request.key else 0.0
        hold = self._config.keep_keys + self._config.limits.total
        accounts = list(named.values())
        try:
            reserved = await self._budgets.reserve(key, accounts, amount, hold=hold)
        except BudgetsError as exc:
            # What nobody can count isn't spent.
            raise LlmError("unavailable", f"budgets can't be asked: {exc}", reached=False) from exc
        if reserved.over:
            over, ends = next(
                ((name, account.ends) for name, account in named.items() if account.name == reserved.over),
                ("unknown", self._clock()),
            )
            left = max(0.0, ends - self._clock())
            raise LlmError(
                "over_budget", f"budget {over!r} doesn't have {amount.tokens} tokens left for this; it begins anew in "
                f"{left:.0f} s", retry_after=left, reached=False,
            )  # fmt: skip
        return Charge(self, key, keep)

    async def settle(self, key: str, amount: Amount, *, keep: float) -> None:
        try:
            await self._budgets.settle(key, amount, keep=keep)
        except BudgetsError as exc:
            self.unsettled += 1
            self._log.warning("a charge stays as it was reserved: %s", exc)

    async def spent(self, session: str, owner: str) -> Sequence[Spent]:
        """Return what was spent of each budget that counts for everybody, or for this session or user."""
        asked = ChatRequest(messages=(), session=session, owner=owner, budgets=tuple(self._config.budgets))
        named = dict(self._counting(asked))
        if not named:
            return []
        try:
            amounts = await self._budgets.read([account.name for account in named.values()])
        except BudgetsError as exc:
            raise LlmError("unavailable", f"budgets can't be asked: {exc}", reached=False) from exc
        return [
            Spent(
                budget=name, per=self._config.budgets[name].per, tokens=amount.tokens, money=amount.money,
                most_tokens=account.tokens, most_money=account.money, ends=account.ends,
            )
            for (name, account), amount in zip(named.items(), amounts, strict=True)
        ]  # fmt: skip

    async def forget(self, owner: str) -> int:
        """Erase what was counted of a person."""
        return await self._budgets.forget(digest("user", owner))

    def _counting(self, request: ChatRequest) -> Iterator[tuple[str, Account]]:
        """Yield the budgets that count for a request, by name."""
        for name in request.budgets:
            if name not in self._config.budgets:
                raise LlmError("invalid_request", f"there is no budget {name[:64]!r}", reached=False)
        for name, budget in self._config.budgets.items():
            if not budget.always and name not in request.budgets:
                continue
            whose = {"session": request.session, "user": request.owner, "all": "all"}[budget.per]
            if whose:
                yield name, self._account(name, budget, whose)

    def _account(self, name: str, budget: Budget, whose: str) -> Account:
        window = math.floor(self._clock() / budget.window)
        subject = "" if budget.per == "all" else digest(budget.per, whose)
        money = None if budget.most_money is None else round(budget.most_money * MICRO)
        return Account(
            name=f"{name}:{subject or 'all'}:{window}", subject=subject, tokens=budget.most_tokens, money=money,
            ends=(window + 1) * budget.window,
        )  # fmt: skip


def amount_of(usage: Usage, settings: ModelSettings) -> Amount:
    """Return what tokens of a model come to: a price for a million tokens is one in millionths for each."""
    money = usage.prompt * settings.price_in + usage.completion * settings.price_out
    return Amount(usage.total, math.ceil(money))


def digest(*parts: str) -> str:
    """Return 32 hex digits that stand for texts nobody is to read in a store."""
    joined = "\x1f".join(part.replace("\x1f", "\x1f\x1f") for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]
