"""Links by which somebody acknowledges: the token is sent, and its digest alone is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from .model import Link, is_key

PATH = "/notifications/link"
_MOST = 200


def new_token(key: str) -> str:
    """Make the token of a link to the notification ``key``: nobody guesses it, and it says nothing but the key."""
    return f"{key}.{secrets.token_urlsafe(24)}"


def digest_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def key_in(token: str) -> str:
    """Return which notification a token is for, empty for what is no token."""
    key, _, secret = token.partition(".")
    return key if is_key(key) and secret else ""


def with_link(links: Sequence[Link], token: str, person: str, until: float) -> tuple[Link, ...]:
    """Add a token's link; the oldest go first."""
    return (*links, Link(digest_of(token), person, until))[-_MOST:]


def find_link(links: Sequence[Link], token: str, now: float) -> Link | None:
    """Return the link of a token, unless it is over."""
    digest = digest_of(token)
    found = [each for each in links if hmac.compare_digest(each.digest, digest)]
    return found[0] if found and now < found[0].until else None
