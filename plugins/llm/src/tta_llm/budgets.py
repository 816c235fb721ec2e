"""What may be spent: accounts that are charged before a call and put right after it, in a store that can be shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from msgspec import Struct

from tta_kernel import KernelError, Service
from tta_kernel.shapes import fits
from tta_messages.guard import CALL_LIMIT, Check, Guarded

MICRO = 1_000_000
"""Money is counted in whole millionths of the deployment's unit: sums of fractions would drift."""


class BudgetsError(KernelError):
    """The store of budgets can't be reached or used; what it was told may have been stored or not."""


class Amount(Struct, frozen=True):
    """Tokens, and money in millionths of the deployment's unit."""

    tokens: int = 0
    money: int = 0


class Account(Struct, frozen=True, kw_only=True):
    """What is charged, and how much it may come to; None: as much as you like.

    ``subject`` is a digest of whose it is, or "" for everybody's; with ``ends``, in seconds since the epoch, it begins
    anew under another ``name``.
    """

    name: str
    subject: str = ""
    tokens: int | None = None
    money: int | None = None
    ends: float


class Reserved(Struct, frozen=True):
    """What became of a reservation: ``over`` names the account that wouldn't bear it, and then nothing was charged.

    ``repeated``: it was made before under this key, and isn't charged again.
    """

    over: str = ""
    repeated: bool = False


class Spent(Struct, frozen=True, kw_only=True):
    """A budget as far as it is spent; ``tokens`` and ``money`` of ``most_tokens`` and ``most_money``."""

    budget: str
    per: str
    tokens: int
    money: int
    most_tokens: int | None = None
    most_money: int | None = None
    ends: float


class Budgets(Protocol):
    """Where what was spent is kept; ``durable``: another process finds it. Each call may raise `BudgetsError`."""

    durable: bool

    async def reserve(self, key: str, accounts: Sequence[Account], amount: Amount, *, hold: float) -> Reserved:
        """Charge an amount to all of the accounts, or to none where one wouldn't bear it.

        The key is remembered for ``hold`` seconds. What isn't settled by then, as after a crash, stays charged.
        """

    async def settle(self, key: str, amount: Amount, *, keep: float) -> bool:
        """Put right what was reserved under a key: from now on it has cost ``amount``, be that less or more.

        Say whether it did: not for a key that isn't known, or that has been settled. It is remembered for ``keep``
        seconds more, in which a repeat isn't charged.
        """

    async def read(self, accounts: Sequence[str]) -> Sequence[Amount]:
        """Return what was charged to each of the accounts, in their order."""

    async def forget(self, subject: str) -> int:
        """Erase the accounts of a subject; say how many there were."""


BUDGETS = Service[Budgets]("budgets")


def guard_budgets(budgets: Budgets, *, limit: float = CALL_LIMIT) -> Budgets:
    """Return a store such that each call ends within ``limit`` seconds, rightly or with a `BudgetsError`."""
    return cast(
        Budgets, budgets if isinstance(budgets, Guarded) else Guarded(budgets, _CHECKS, BudgetsError, limit)
    )  # fmt: skip


def _is_reserved(answer: Any, *_: Any) -> bool:
    return isinstance(answer, Reserved) and fits(answer, Reserved)


def _are_amounts(answer: Any, accounts: Sequence[str]) -> bool:
    return (
        isinstance(answer, list | tuple)
        and len(answer) == len(accounts)
        and all(isinstance(each, Amount) and _is_count(each.tokens) and _is_count(each.money) for each in answer)
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


_CHECKS: Mapping[str, Check] = {
    "reserve": _is_reserved,
    "settle": lambda answer, *_: isinstance(answer, bool),
    "read": _are_amounts,
    "forget": lambda answer, *_: _is_count(answer),
}
