"""Roles: names for sets of permissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tta_http import TEXT, Permission

_OPERATED = ("agents", "alerts", "breakers", "messages", "runs", "schedules", "sessions", "workflows")
ROLES: Mapping[str, frozenset[Permission]] = {
    "viewer": frozenset({"*:read"}),
    "operator": frozenset({"*:read", "audit:inspect", *(f"{what}:*" for what in _OPERATED)}),
    "admin": frozenset({"*:*"}),
}
"""The roles that are there without config. None opens what people wrote: no wildcard covers `TEXT`."""


def roles_of(own: Mapping[str, Sequence[Permission]]) -> Mapping[str, frozenset[Permission]]:
    """Return all roles; raise a ValueError for one that would change the meaning of a name that is taken."""
    for name in own:
        if name in ROLES:
            raise ValueError(f"roles: {name!r} has its permissions already; give yours another name")
    return {**ROLES, **{name: frozenset(permissions) for name, permissions in own.items()}}


def permissions_of(roles: Iterable[str], known: Mapping[str, frozenset[Permission]]) -> frozenset[Permission]:
    """Return all that roles permit; one that nobody knows, such as of a key that outlived it, permits nothing."""
    return frozenset().union(*(known.get(role, frozenset()) for role in roles))


def only_reads(permissions: Iterable[Permission]) -> bool:
    """Say whether permissions are harmless to give to everybody: they read, and nothing that people wrote."""
    return all(permission.endswith(":read") and permission != TEXT for permission in permissions)
