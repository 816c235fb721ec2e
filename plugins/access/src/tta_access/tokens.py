"""How a key looks, and which texts are no keys.

A key is 256 random bits. So nobody can try all of them, nor guess some, and one round of SHA-256 is all that its
keeping needs: what makes a hash slow on purpose, such as Argon2, is for passwords, which people choose, and would here
only let callers spend our processor's time.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets

PREFIX = "ttak_"
"""What every key begins with, so that scanners of code and logs know one when they see it."""
SHAPE = re.compile(rf"{PREFIX}[0-9a-f]{{10}}_[A-Za-z0-9_-]{{43}}")
SHORTEST = 24
"""Characters of a key that somebody else made."""
_BITS = 80
"""Less than a key of `SHORTEST` random characters has, as they are counted here, and more than a repeated word."""
_DEFAULTS = re.compile(
    r"(?i)change|default|example|secret|password|passw0rd|admin|dummy|sample|placeholder|insecure|"
    r"letmein|qwerty|123456|abcdef|your|xxxx|000000|\btest"
)


def new_key() -> tuple[str, str]:
    """Make a key; return its identifier, which may be shown, and the key, which is shown once."""
    id = secrets.token_hex(5)
    return id, f"{PREFIX}{id}_{secrets.token_urlsafe(32)}"


def digest_of(key: str) -> str:
    """Return what is kept of a key."""
    return raw_digest(key).hex()


def raw_digest(key: str) -> bytes:
    """Return the bytes of `digest_of`."""
    # A header can hold bytes that are no text, which Python shows as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def weakness(key: str) -> str:
    """Say why a text that somebody else made is no key; empty where it may be one."""
    if len(key) < SHORTEST:
        return f"it is shorter than {SHORTEST} characters"
    if not SHAPE.fullmatch(key) and _DEFAULTS.search(key):
        return "it looks like a default, or like the example of a manual"
    if _bits(key) < _BITS:
        return "it repeats itself, so that it can be guessed"
    return ""


def _bits(text: str) -> float:
    """Return how many bits a text could hold at most, going by how often its characters occur: Shannon's entropy."""
    shares = [text.count(char) / len(text) for char in set(text)]
    return -len(text) * sum(share * math.log2(share) for share in shares)
