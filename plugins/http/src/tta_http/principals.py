"""Who asks, and what they may do."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

_FORM = r"(\*|[a-z][a-z0-9-]*)(:[A-Za-z0-9._*-]+)+"
Permission = Annotated[str, msgspec.Meta(pattern=f"^(public|{_FORM})$")]
"""``what:deed``, such as ``runs:read`` or ``tools:execute:math.add``; or `PUBLIC`."""
PUBLIC: Permission = "public"
"""Anybody may: a single-use token or a signature in the request is the proof, or there is nothing to protect."""
TEXT: Permission = "text:read"
"""To read what a person wrote, or was told. No wildcard grants it, so nobody has it by accident."""


def is_permission(text: str) -> bool:
    """Say whether a route can ask for this: a star is for what is held."""
    return text == PUBLIC or (re.fullmatch(_FORM, text) is not None and "*" not in text)


class Principal(msgspec.Struct, frozen=True):
    """Who asks: a program with a key, a person, a peer with a certificate, an agent, or nobody that is known.

    A permission that is held may have ``*`` for a part: ``*:read`` is to read everything, and ``runs:*`` every
    deed on runs, whatever follows. None of these is `TEXT`, which must be held by its name.
    """

    name: str
    kind: Literal["anonymous", "key", "oidc", "mtls", "local", "agent"]
    roles: tuple[str, ...] = ()
    permissions: frozenset[Permission] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Say whether this is allowed; what is no permission isn't."""
        if permission == PUBLIC or permission in self.permissions:
            return True
        return _granted(self.permissions, permission)


@lru_cache(256)  # The same is asked again and again, and to compare with stars takes long.
def _granted(permissions: frozenset[str], permission: str) -> bool:
    if permission == TEXT or ":" not in permission:
        return False
    return any(_covers(held, permission) for held in permissions if "*" in held)


def _covers(held: str, permission: str) -> bool:
    have = held.split(":")
    want = permission.split(":")
    # A star at the end stands for all that may follow, so that `tools:*` is every tool's execution, too.
    if have[-1] == "*" and len(want) > len(have):
        want = want[: len(have)]
    return len(have) == len(want) and all(a in ("*", b) for a, b in zip(have, want, strict=True))


ANONYMOUS = Principal("anonymous", "anonymous")
