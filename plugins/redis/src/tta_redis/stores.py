"""What plugins whose store is on Redis have in common: when it is well, and that it forgets persons."""

from __future__ import annotations

from typing import Annotated, Protocol, TypeVar

import msgspec

from tta_kernel import Health, Plugin, PositiveDuration, hookimpl

from .client import REDIS


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A write waits up to ``wait_timeout``, in seconds, until ``wait_replicas`` have it; see `Replication`."""

    wait_replicas: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    wait_timeout: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 1.0


class Store(Protocol):
    """What a `StorePlugin` asks of its store."""

    @property
    def unconfirmed(self) -> str:
        """Say why the last write would be lost with its master; nothing where enough replicas have it."""

    async def forget(self, user: str, /) -> int:
        """Erase what is kept of a person, and return how many things that were."""


ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


class StorePlugin(Plugin[ConfigT]):
    """A plugin with a store on Redis, which its ``lifespan`` opens, and keeps as ``store``."""

    requires = (REDIS,)
    autoload = False
    store: Store

    @hookimpl(optionalhook=True)
    async def forget(self, user: str) -> int:
        return await self.store.forget(user)

    @hookimpl
    async def health(self) -> Health:
        unconfirmed = self.store.unconfirmed
        return Health("degraded" if unconfirmed else "ok", unconfirmed)
