"""Who may do what: credentials, keys, and the two services that judge and keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol

import msgspec

from tta_http import Permission, Principal
from tta_kernel import Event, Service

Refusal = Literal["unauthenticated", "rate-limited", "unavailable"]
"""Why nobody was authenticated: the caller proves nothing, has failed too often, or nobody can tell just now."""
Way = Literal["keys", "oidc", "mtls"]


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller shows: its two headers as they came, the names in its verified certificate, and its address.

    The names have their kind in front, such as ``DNS:probe.example`` or ``URI:spiffe://example/probe``. The address is
    without a port, and empty where there is none, as on a Unix socket.
    """

    authorization: str = ""
    diag_key: str = ""
    """``X-AO-DIAG-KEY``, as the predecessor's callers send it."""
    certificate: tuple[str, ...] = ()
    peer: str = ""

    def __repr__(self) -> str:  # without what a log must not show
        return f"Credentials(peer={self.peer!r})"


class AccessError(Exception):
    """A store of keys, or whoever issues tokens, can't be used."""


class Denied(Exception):
    """Nobody is authenticated; ``code`` is for the caller, ``reason`` for the record alone.

    ``key`` is the identifier of one of ours that has ended. ``retry_after``: after how many seconds another attempt
    makes sense, where one does.
    """

    def __init__(self, code: Refusal, reason: str, *, key: str = "", retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.key = key
        self.retry_after = retry_after


class AccessDenied(Event, frozen=True, kw_only=True, tag="access.denied"):
    """Somebody showed credentials that prove nothing; ``suppressed`` more such weren't told since the last one."""

    __shown__: ClassVar = ("reason", "peer", "key")

    reason: str
    peer: str = ""
    key: str = ""
    """The key's identifier, where it is one of ours that has ended."""
    suppressed: int = 0


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key: never the key itself, only its SHA-256. Times are in seconds since the epoch."""

    id: str
    name: str
    """Of whoever has it: a principal. It may have two keys at once, so that one can take the other's place."""
    roles: tuple[str, ...]
    digest: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None
    """When it was last used, to a minute or so."""
    v: int = 1

    def state(self, now: float) -> Literal["active", "expired", "revoked"]:
        """Say whether it opens anything."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class KeyRefused(AccessError):
    """A key can't be added: its principal has two active ones, or the store is full."""


class KeyStore(Protocol):
    """Where keys are kept; its calls raise `AccessError` where it can't be used."""

    async def add(self, key: Key) -> None:
        """Keep a new key; raise `KeyRefused` where its principal has `ACTIVE_KEYS` active ones, or there are too many.

        Where room is needed, keys that were revoked or have expired go first, the oldest before the others.
        """

    async def keys(self) -> Sequence[Key]:
        """Return all keys, also those that have ended, by the time of their making."""

    async def revoke(self, id: str) -> bool:
        """Let a key open nothing any more; False where there is none of this identifier, or it was revoked before."""

    async def find(self, digest: str) -> Key | None:
        """Return the key with this digest, in whatever state. Another process's `revoke` counts at once."""

    async def used(self, uses: Mapping[str, float]) -> None:
        """Remember when keys, by their identifiers, were used last; the later time counts, and unknown keys don't."""


class Access(Protocol):
    """Who asks, and what they may do."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return who shows these credentials, or raise `Denied`; without any it is the anonymous principal."""

    def recall(self, credentials: Credentials) -> Principal | None:
        """Return whom `authenticate` would return where that needs no wait, such as who was known a moment ago.

        None is no refusal: it says that `authenticate` is to be asked, which may take time.
        """

    def allowed(self, principal: Principal, permission: Permission) -> bool:
        """Say whether a principal may do this; in doubt it may not."""

    def agent(self, type: str) -> Principal:
        """Return the principal that an agent of this type is, with the roles that config gives it."""

    def local(self) -> Principal:
        """Return whose deeds those of this process are: of the key in ``TTA_KEY``, else of the user who started it."""

    async def ways(self) -> Sequence[Way]:
        """Say by what a caller can prove who it is; empty where nobody can, so that all are anonymous."""


ACTIVE_KEYS = 2
"""How many keys of one principal may be active at once: the one in use, and the one that takes its place."""
ACCESS = Service[Access]("access")
KEYS = Service[KeyStore]("keys")
