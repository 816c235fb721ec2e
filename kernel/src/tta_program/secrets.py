"""What no log and no error may show, nor any repr."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

REDACTED = "<redacted>"
_SENSITIVE = r"(?i)passw|passphrase|secret|token|credential|dsn|authorization|keys?(?![a-z])"
_LOGIN = r"(?<=://)[^\s\"']*(?=@)"
"""Up to the last @: a password may hold one, and hiding too much does no harm."""


_KNOWN = re.compile(
    r"\bttak_[0-9a-f]{10}_[\w-]{43}"  # a caller's key of this system
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON Web Token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


class SecretText(str):
    """The value of a `Secret`: a str like any other, but for its repr, so that no repr of a config shows it.

    ``str(secret)``, as any text that is made of it, is plain. msgspec encodes no subclass of str, so that a
    config is not sent anywhere by accident: encode ``str(secret)`` where it is meant.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(REDACTED if self else "")


class UrlText(str):
    """The value of a text with a password in a URL: its repr shows the rest. Else it is as `SecretText`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(mask(str(self)))


def looks_secret(key: str) -> bool:
    """Say whether a key is called like one that holds a secret."""
    return bool(re.search(_SENSITIVE, key))


def passwords(text: str) -> Iterator[str]:
    """Yield the passwords in the URLs of a text, as they are written and as they are meant."""
    for user_and_password in re.findall(_LOGIN, text):
        password = user_and_password.partition(":")[2]
        if password:
            yield password
            yield unquote(password)


def hide_known(text: str) -> str:
    """Hide what is a secret by its looks, whoever it belongs to: keys of callers, tokens, private keys."""
    return _KNOWN.sub(REDACTED, text)


def mask(text: str) -> str:
    """Hide the password in each URL."""
    return re.sub(_LOGIN, REDACTED, text)
