"""What no log and no error may show."""

from __future__ import annotations

import re

REDACTED = "<redacted>"
_SENSITIVE = r"(?i)passw|passphrase|secret|token|credential|dsn|authorization|keys?(?![a-z])"


def looks_secret(key: str) -> bool:
    """Say whether a key is called like one that holds a secret."""
    return bool(re.search(_SENSITIVE, key))


def mask(text: str) -> str:
    """Hide the password in each URL."""
    # Up to the last @: a password may hold one, and hiding too much does no harm.
    return re.sub(r"://[^\s\"']*@", f"://{REDACTED}@", text)
