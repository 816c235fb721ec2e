"""What no log and no error may show, nor any repr."""

from __future__ import annotations

import re

REDACTED = "<redacted>"
_SENSITIVE = r"(?i)passw|passphrase|secret|token|credential|dsn|authorization|keys?(?![a-z])"


class SecretText(str):
    """The value of a `Secret`: a str like any other, but for its repr, so that no repr of a config shows it.

    ``str(secret)``, as any text that is made of it, is plain. msgspec encodes no subclass of str, so that a
    config is not sent anywhere by accident: encode ``str(secret)`` where it is meant.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(REDACTED if self else "")


def looks_secret(key: str) -> bool:
    """Say whether a key is called like one that holds a secret."""
    return bool(re.search(_SENSITIVE, key))


def mask(text: str) -> str:
    """Hide the password in each URL."""
    # Up to the last @: a password may hold one, and hiding too much does no harm.
    return re.sub(r"://[^\s\"']*@", f"://{REDACTED}@", text)
