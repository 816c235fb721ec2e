"""Pseudonyms: how a person stands in a record, for as long as nobody has forgotten them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_LENGTH = 32
"""Hexadecimal digits: 128 bits, of which no two are ever the same by chance."""
LONGEST = 1000
"""Characters of what names a person."""


def new_secret() -> bytes:
    """Return the key of a person, or of a store."""
    return secrets.token_bytes(32)


def place_of(secret: bytes, user: str) -> str:
    """Return the name under which a person's key is kept: their own would say who has an entry in the record."""
    return _hmac(secret, user)


def pseudonym_of(key: bytes, user: str) -> str:
    """Return what stands for a person in the records."""
    return _hmac(key, user)


def _hmac(key: bytes, user: str) -> str:
    return hmac.new(key, user[:LONGEST].encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:_LENGTH]
