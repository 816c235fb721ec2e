"""JSON Web Tokens of one issuer, as OpenID Connect has them; PyJWT does the checking."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import anyio.to_thread
import jwt
import msgspec
from jwt.exceptions import InvalidTokenError, PyJWTError

from .config import Oidc
from .jwks import fetch, read
from .model import AccessError, Denied

_ANEW = 30.0
"""Seconds between two looks for an unknown key: tokens that name keys at will must not become requests at will."""
LONGEST = 16_384
"""Characters of a token."""
_SUBJECT = 256
"""Characters of a subject; OpenID Connect has 255."""


class _Purpose(msgspec.Struct, frozen=True):
    """What an issuer says a key is for; what it leaves out, it doesn't restrict."""

    kid: str = ""
    use: str = "sig"
    key_ops: tuple[str, ...] = ("verify",)
    alg: str = ""


class Verified:
    """What a good token says."""

    def __init__(self, subject: str, values: tuple[str, ...], expires_at: float) -> None:
        self.subject = subject
        self.values = values
        self.expires_at = expires_at


class Tokens:
    """Checks tokens against the issuer's keys, which are fetched when they are needed, and kept for a while."""

    def __init__(
        self, config: Oidc, clock: Callable[[], float], load: Callable[[Oidc], Mapping[str, Any]] | None = None
    ) -> None:
        self.trouble = ""
        self._config = config
        self._clock = clock
        self._load = load or (read if config.jwks_file else fetch)
        self._keys: _Keys = {}
        self._fetched_at = -inf
        self._tried_at = -inf
        self._lock = anyio.Lock()
        self._loading = threading.Lock()

    async def verify(self, token: str) -> Verified:
        """Return what a token says; raise `Denied` for one that doesn't count, or where nobody can tell."""
        if len(token) > LONGEST:
            raise Denied("unauthenticated", "token-too-long")
        try:
            header = jwt.get_unverified_header(token)
        except (InvalidTokenError, ValueError, RecursionError):
            # Whatever anybody sends is read here: what is no text, and JSON a thousand levels deep.
            raise Denied("unauthenticated", "token-malformed") from None
        # What the token says of its algorithm is looked up in the list, and never believed.
        if header.get("alg") not in self._config.algorithms:
            raise Denied("unauthenticated", "token-algorithm")
        key = await self._key(str(header.get("kid", "")), header["alg"])
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[*self._config.algorithms],
                audience=self._config.audience,
                issuer=self._config.issuer,
                leeway=self._config.leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            expires_at = float(claims["exp"])
        except (InvalidTokenError, OverflowError) as exc:
            # Only of what kind it is: the text quotes what the token holds.
            raise Denied("unauthenticated", f"token-{type(exc).__name__}") from None
        subject = claims["sub"]
        # Two people never become one by what is cut off, nor one line of a log two by what it quotes.
        if not subject.strip() or not subject.isprintable() or len(subject) > _SUBJECT:
            raise Denied("unauthenticated", "token-subject")
        return Verified(subject, _values(claims, self._config.claim), expires_at)

    async def _key(self, id: str, algorithm: str) -> jwt.PyJWK:
        # While somebody looks, nobody waits whose key is known: an issuer that is slow would stop them all.
        if not self._has(id, algorithm) and not (self._lock.locked() and self._usable(id, algorithm)):
            async with self._lock:
                # Whoever waited finds what the one before has fetched.
                if not self._has(id, algorithm) and self._clock() - self._tried_at >= _ANEW:
                    await self._refresh()
        if self._too_old():
            raise Denied("unavailable", "issuer-away", retry_after=_ANEW)
        key = self._find(id, algorithm)
        if key is None:
            raise Denied("unauthenticated", "token-key")
        return key

    def _too_old(self) -> bool:
        # An issuer that is away for a while closes nobody out; for longer, it may have withdrawn its keys.
        return self._clock() - self._fetched_at >= 2 * self._config.jwks_ttl

    def _usable(self, id: str, algorithm: str) -> bool:
        return self._find(id, algorithm) is not None and not self._too_old()

    def _has(self, id: str, algorithm: str) -> bool:
        return self._find(id, algorithm) is not None and self._clock() - self._fetched_at < self._config.jwks_ttl

    def _find(self, id: str, algorithm: str) -> jwt.PyJWK | None:
        ids = {each for each, _ in self._keys}
        if not id and len(ids) == 1:
            (id,) = ids  # A token needs to name a key only where there are several.
        return self._keys.get((id, algorithm))

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            with anyio.fail_after(self._config.timeout):
                found = await anyio.to_thread.run_sync(self._load_alone, abandon_on_cancel=True)
            keys = _signing(found, self._config.algorithms)
        except (AccessError, TimeoutError) as exc:
            self.trouble = f"the issuer's keys can't be had: {type(exc).__name__}"
            return
        self._keys = keys
        self._fetched_at = self._clock()
        self.trouble = ""

    def _load_alone(self) -> Mapping[str, Any]:
        """Load the keys, in a thread, unless the load before goes on.

        An issuer that never ends its answer would hold one thread more at each look, until files of keys have none.
        """
        if not self._loading.acquire(blocking=False):
            raise AccessError("the issuer hasn't ended the answer before")
        try:
            return self._load(self._config)
        finally:
            self._loading.release()


_Keys = dict[tuple[str, str], jwt.PyJWK]
"""By identifier and algorithm: RFC 7517 lets one identifier stand for keys of several kinds."""


def _signing(found: Mapping[str, Any], algorithms: Sequence[str]) -> _Keys:
    """Return the keys that tokens may be signed by; one that encrypts, or that can't be read, is none of them."""
    keys: _Keys = {}
    given = found.get("keys")
    for each in given if isinstance(given, list) else ():
        try:
            purpose = msgspec.convert(each, _Purpose)
        except msgspec.ValidationError:
            continue
        if purpose.use != "sig" or "verify" not in purpose.key_ops:
            continue
        for algorithm in [purpose.alg] if purpose.alg else algorithms:
            try:
                keys[purpose.kid, algorithm] = jwt.PyJWK(each, algorithm)
            except (PyJWTError, AttributeError, TypeError, ValueError):
                # Of another kind than the algorithm wants, or of none: PyJWT says so in many ways.
                continue
    if not keys:
        raise AccessError("the issuer has no key that signs")
    return keys


def _values(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Return the texts at a claim, such as ``roles`` or ``realm_access.roles``."""
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return tuple(found.split())  # as OAuth's `scope` has several
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()
