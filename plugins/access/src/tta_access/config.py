"""What may be set for access."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tta_http import Permission
from tta_kernel import ConfigPath, PositiveDuration, Secret, suggest

from .roles import only_reads, roles_of
from .tokens import weakness

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
"""Asymmetric ones alone: with a shared secret whoever can check a token can make one."""
Roles = list[str]


class GivenKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that somebody else made and keeps, such as a secret of the platform."""

    key: Secret
    roles: Roles

    def __post_init__(self) -> None:
        if why := weakness(self.key):
            raise ValueError(f"the key can't be used: {why}; make one by: tta keys create")


class Oidc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose JSON Web Tokens count: of one issuer, for one audience, signed by one of its keys.

    The keys are at ``jwks_url``, or in ``jwks_file``. ``claim`` is where a token says what its holder is, and ``roles``
    which roles that gives here.
    """

    issuer: Annotated[str, msgspec.Meta(min_length=1)]
    audience: Annotated[str, msgspec.Meta(min_length=1)]
    jwks_url: str = ""
    jwks_file: ConfigPath | None = None
    algorithms: Annotated[tuple[Algorithm, ...], msgspec.Meta(min_length=1)] = ("RS256", "ES256")
    claim: str = "roles"
    roles: dict[str, Roles] = {}
    leeway: Annotated[float, msgspec.Meta(ge=0, le=300, extra={"unit": "seconds"})] = 30.0
    jwks_ttl: PositiveDuration = 600.0
    # Whoever serves waits five seconds until it is known who asks.
    timeout: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 3.0

    def __post_init__(self) -> None:
        if bool(self.jwks_url) == bool(self.jwks_file):
            raise ValueError("give either jwks_url or jwks_file")
        loopback = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
        if self.jwks_url and not self.jwks_url.startswith(("https://", *loopback)):
            raise ValueError("jwks_url begins with https://: whoever can change the keys on their way can make tokens")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Roles of your own, and who has which; ``anonymous_role`` is that of callers who show nothing.

    ``mtls`` gives roles to the names in clients' certificates, ``agents`` to types of agents. ``cache_ttl``: for how
    long, in seconds, a key may open what it opened before without being looked up. ``failures``: how many wrong
    credentials one address may show in a minute before it has to wait.
    """

    roles: dict[str, list[Permission]] = {}
    anonymous_role: str = ""
    keys: dict[str, GivenKey] = {}
    oidc: Oidc | None = None
    mtls: dict[str, Roles] = {}
    agents: dict[str, Roles] = {}
    cache_ttl: Annotated[PositiveDuration, msgspec.Meta(le=60)] = 1.0
    failures: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10

    def __post_init__(self) -> None:
        known = roles_of(self.roles)
        givers: dict[str, list[str]] = {f"keys.{name}": each.roles for name, each in self.keys.items()}
        givers |= {f"mtls.{name}": roles for name, roles in self.mtls.items()}
        givers |= {f"agents.{name}": roles for name, roles in self.agents.items()}
        givers |= {f"oidc.roles.{name}": roles for name, roles in (self.oidc.roles if self.oidc else {}).items()}
        givers["anonymous_role"] = [self.anonymous_role] if self.anonymous_role else []
        for place, roles in givers.items():
            for role in roles:
                if role not in known:
                    hint = suggest(role, known, otherwise="define it under roles")
                    raise ValueError(f"{place}: there is no role {role!r}; {hint}")
        if not only_reads(known.get(self.anonymous_role, ())):
            raise ValueError(
                f"anonymous_role: {self.anonymous_role!r} permits more than to read, or to read what people wrote; "
                "who isn't known may have viewer at most, or a role of yours that only reads"
            )
