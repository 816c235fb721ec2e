"""The contracts that every store of breakers passes: subclass one, and give its fixture."""

from __future__ import annotations

from .calls import Time, breakers_on, eventually, fail, given, until_given
from .contract import BreakerStoreContract
from .sharing import SharedBreakerStoreContract

__all__ = [
    "BreakerStoreContract", "SharedBreakerStoreContract", "Time", "breakers_on", "eventually", "fail", "given",
    "until_given",
]  # fmt: skip
