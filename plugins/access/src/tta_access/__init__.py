"""Who may do what: keys, tokens and certificates of callers, and the roles that they have."""

from __future__ import annotations

from .authenticator import Authenticator
from .config import Config, GivenKey, Oidc
from .files import FileKeys
from .guard import asked
from .memory import MemoryKeys
from .model import (
    ACCESS,
    ACTIVE_KEYS,
    KEYS,
    Access,
    AccessDenied,
    AccessError,
    Credentials,
    Denied,
    Key,
    KeyRefused,
    KeyStore,
    Refusal,
    Way,
)
from .plugin import AccessFile, AccessMemory, AccessPlugin
from .roles import ROLES
from .tokens import digest_of, new_key

__all__ = [
    "ACCESS", "ACTIVE_KEYS", "KEYS", "ROLES", "Access", "AccessDenied", "AccessError", "AccessFile", "AccessMemory",
    "AccessPlugin", "Authenticator", "Config", "Credentials", "Denied", "FileKeys", "GivenKey", "Key", "KeyRefused",
    "KeyStore", "MemoryKeys", "Oidc", "Refusal", "Way", "asked", "digest_of", "new_key",
]  # fmt: skip
