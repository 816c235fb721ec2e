"""Who asks: what a caller shows is looked up, and remembered for a moment."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tta_http import ANONYMOUS, Permission, Principal
from tta_kernel import Event, as_failure, raised_at

from .config import Config
from .failures import Bucket, Failures
from .guard import LIMIT, asked
from .model import AccessDenied, AccessError, Credentials, Denied, Key, KeyStore, Way
from .outage import Outage
from .roles import permissions_of, roles_of
from .tokens import digest_of, raw_digest
from .users import user_name

if TYPE_CHECKING:
    from .oidc import Tokens

log = logging.getLogger("tta.access")
MOST_KNOWN = 4096
"""Credentials that are remembered; the one that was looked up longest ago goes first."""
LONGEST = 16_384
"""Characters of a header; what is longer is not even looked at."""
_TOLD = 60
"""How many refusals are told in a minute; of more the next one says how many they were."""
_STORE_RETRY = 1.0


class _Found(NamedTuple):
    """Whose credentials they are, until when on the wall's clock, and the identifier of the key."""

    principal: Principal
    expires_at: float | None = None
    key: str = ""


class _Known:
    """Credentials that opened something a moment ago; ``until`` and ``used_at`` are monotonic."""

    __slots__ = ("key", "principal", "until", "used_at")

    def __init__(self, principal: Principal, until: float, key: str, used_at: float) -> None:
        self.principal = principal
        self.until = until
        self.key = key
        self.used_at: float | None = used_at


class Authenticator:
    """The service `ACCESS`.

    A caller's text is hashed, and only its SHA-256 is looked up and compared. So it takes as long for a key that is
    nearly right as for one that nobody ever had, and what the time tells is of a digest, which nobody can choose.
    """

    def __init__(
        self,
        config: Config,
        store: KeyStore,
        *,
        publish: Callable[[Event], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        limit: float = LIMIT,
    ) -> None:
        self.denied = 0
        self._store = store
        self._publish = publish
        self._clock = clock
        self._wall = wall
        self._limit = limit
        self._known: dict[bytes, _Known] = {}
        self._telling = Bucket(_TOLD, clock())
        self._suppressed = 0
        self._tokens: Tokens | None = None
        self._outage = Outage(clock)
        self._local = Principal(f"local:{user_name()}", "local")
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take a config over; nobody is known any more."""
        self._config = config
        self._roles = roles_of(config.roles)
        self._failures = Failures(config.failures)
        self._anonymous = self._with(ANONYMOUS, [config.anonymous_role] if config.anonymous_role else [])
        self._local = self._with(self._local, self._local.roles or ["admin"])
        self._given = {
            digest_of(each.key): self._with(Principal(name, "key"), each.roles) for name, each in config.keys.items()
        }
        self._agents = {
            type: self._with(Principal(f"agent:{type}", "agent"), roles) for type, roles in config.agents.items()
        }
        self._tokens = None
        self._by_claim: Mapping[str, Sequence[str]] = {}
        if config.oidc is not None:
            self._by_claim = config.oidc.roles
            from .oidc import Tokens  # It needs cryptography, which takes long to import.

            self._tokens = Tokens(config.oidc, self._clock)
        self._known = {}

    async def authenticate(self, credentials: Credentials) -> Principal:
        found = self.recall(credentials)
        if found is not None:
            return found
        shown = _shown(credentials)
        if shown is None:
            raise self._refuse("unreadable", credentials.peer)
        return await self._look_up(shown, raw_digest(shown), credentials.peer)

    def recall(self, credentials: Credentials) -> Principal | None:
        if not (credentials.authorization or credentials.diag_key):
            return self._by_certificate(credentials.certificate) if credentials.certificate else self._anonymous
        shown = _shown(credentials)
        known = self._known.get(raw_digest(shown)) if shown is not None else None
        now = self._clock()
        if known is None or now >= known.until:
            return None
        known.used_at = now
        return known.principal

    def allowed(self, principal: Principal, permission: Permission) -> bool:
        return principal.may(permission)

    def agent(self, type: str) -> Principal:
        return self._agents.get(type) or Principal(f"agent:{type}", "agent")

    def local(self) -> Principal:
        return self._local

    async def ways(self) -> Sequence[Way]:
        found: list[Way] = []
        if self._given or any(key.state(self._wall()) == "active" for key in await self._keys()):
            found.append("keys")
        if self._config.oidc is not None:
            found.append("oidc")
        if self._config.mtls:
            found.append("mtls")
        return found

    async def become(self, key: str) -> None:
        """Let this process's deeds be those of a key; raise `Denied` where that opens nothing."""
        self._local = await self.authenticate(Credentials(diag_key=key))

    def trouble(self) -> str:
        """Say what keeps callers with keys or tokens out; empty where nothing does."""
        found = (self._outage.reason, self._tokens.trouble if self._tokens else "")
        return "; ".join(filter(None, found))

    def take_uses(self) -> Mapping[str, float]:
        """Return when keys were used since the last call, by the wall's clock, and forget it."""
        now, wall = self._clock(), self._wall()
        found: dict[str, float] = {}
        for known in self._known.values():
            if known.key and known.used_at is not None:
                found[known.key] = wall - (now - known.used_at)
                known.used_at = None
        return found

    async def write_uses(self) -> None:
        """Let the store remember when keys were used last."""
        if uses := self.take_uses():
            await asked(AccessError, self._limit, None, self._store.used, uses)

    async def _keys(self) -> Sequence[Key]:
        return await asked(AccessError, self._limit, Sequence[Key], self._store.keys)

    async def _look_up(self, shown: str, digest: bytes, peer: str) -> Principal:
        now = self._clock()
        # Whoever was known here is looked up at once: others at their address can't keep them out.
        wait = 0.0 if digest in self._known else self._failures.wait(peer, now)
        if wait:
            self._suppressed += 1
            raise Denied("rate-limited", "too-many-failures", retry_after=wait)
        try:
            found = await self._verified(shown, digest.hex())
        except Denied as exc:
            if exc.code != "unauthenticated":
                raise
            self._known.pop(digest, None)
            raise self._refuse(exc.reason, peer, exc.key) from exc
        self._remember(digest, found)
        return found.principal

    async def _verified(self, shown: str, digest: str) -> _Found:
        for known, principal in self._given.items():
            if _same(known, digest):
                return _Found(principal)
        if self._tokens is not None and shown.count(".") == 2:
            token = await self._tokens.verify(shown)
            roles = [role for value in token.values for role in self._by_claim.get(value, ())]
            return _Found(self._with(Principal(token.subject, "oidc"), roles), token.expires_at)
        try:
            key = await asked(AccessError, self._limit, Key | None, self._store.find, digest)
        except AccessError as exc:
            self._outage.goes_on(exc)
            raise Denied("unavailable", "store-away", retry_after=_STORE_RETRY) from exc
        self._outage.is_over()
        if key is None or not _same(key.digest, digest):
            raise Denied("unauthenticated", "unknown-key")
        state = key.state(self._wall())
        if state != "active":
            raise Denied("unauthenticated", f"{state}-key", key=key.id)
        return _Found(self._with(Principal(key.name, "key"), key.roles), key.expires_at, key.id)

    def _by_certificate(self, names: Sequence[str]) -> Principal:
        """Return who has a certificate: by the names that have roles, else somebody who may nothing."""
        mine = [name for name in names if name in self._config.mtls]
        roles = [role for name in mine for role in self._config.mtls[name]]
        return self._with(Principal((mine or [*names])[0][:256], "mtls"), roles)

    def _with(self, principal: Principal, roles: Sequence[str]) -> Principal:
        found = tuple(dict.fromkeys(roles))
        return Principal(principal.name, principal.kind, found, permissions_of(found, self._roles))

    def _remember(self, digest: bytes, found: _Found) -> None:
        self._known.pop(digest, None)  # What is put in anew stands at the end.
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        now = self._clock()
        lasts = self._config.cache_ttl
        if found.expires_at is not None:
            lasts = min(lasts, found.expires_at - self._wall())
        self._known[digest] = _Known(found.principal, now + lasts, found.key, now)

    def _refuse(self, reason: str, peer: str, key: str = "") -> Denied:
        """Count a failure, tell of it unless too many are told, and return what to raise."""
        now = self._clock()
        self.denied += 1
        self._failures.count(peer, now)
        if self._telling.take(now):
            self._tell(AccessDenied(reason=reason, peer=peer, key=key, suppressed=self._suppressed))
            self._suppressed = 0
        else:
            self._suppressed += 1
        return Denied("unauthenticated", reason)

    def _tell(self, event: Event) -> None:
        try:
            self._publish(event)
        except BaseException as exc:  # noqa: BLE001 - whoever is told lets nobody in
            as_failure(exc)
            log.error("a refusal was told to nobody: %s at %s", type(exc).__name__, raised_at(exc))  # noqa: TRY400


def _shown(credentials: Credentials) -> str | None:
    """Return the key or token that is shown; None where the header can't be read."""
    text = credentials.authorization
    if not text:
        return credentials.diag_key
    return text[7:] if text[:7].lower() == "bearer " and len(text) <= LONGEST else None


def _same(one: str, other: str) -> bool:
    """Compare two digests in a time that says nothing; what a store has in place of one may be any text."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
