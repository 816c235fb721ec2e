"""Where the endpoints are, and which of them a deployment had better not talk to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from yarl import URL

from tta_kernel import ConfigPath, Problem, Secret

_WHERE = "plugins.llm-openai.config"
_OWN = (".internal", ".local", ".localdomain", ".lan", ".svc", ".home.arpa", ".test")
"""How names end that no public registry gives away."""
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Header = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server: ``base_url`` ends where ``/chat/completions`` begins, mostly with ``/v1``.

    ``third_party``: its texts may leave for a host that isn't visibly one's own. ``ca_file``: whom to trust in place of
    the system's authorities. ``connections``: how many there are at once. ``limit_field`` is how it calls the most
    tokens of an answer; ``headers`` are sent with each request.
    """

    base_url: Annotated[str, Meta(max_length=2048)] = ""
    api_key: Secret = ""
    third_party: bool = False
    ca_file: ConfigPath | None = None
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 64
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    headers: Mapping[Header, Annotated[str, Meta(max_length=1024, pattern=r"^[\x20-\x7e]*$")]] = {}


class Config(Endpoint, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Endpoints by name; of a single one the fields may stand here: then it is called ``default``."""

    endpoints: Mapping[Name, Endpoint] = {}

    def all(self) -> Mapping[str, Endpoint]:
        """Return all endpoints by name."""
        return {"default": self, **self.endpoints} if self.base_url else self.endpoints


def config_problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with where the endpoints are; it is read, and asked of nobody."""
    if not config.all():
        hint = "say where it is, such as `base_url: http://127.0.0.1:8080/v1`"
        yield Problem(f"{_WHERE}.base_url", "there is no endpoint", hint)
    if config.base_url and "default" in config.endpoints:
        yield Problem(f"{_WHERE}.endpoints.default", "is what `base_url` is called, too", "give it another name")
    for name, endpoint in config.all().items():
        where = f"{_WHERE}.base_url" if endpoint is config else f"{_WHERE}.endpoints.{name}.base_url"
        yield from _url_problems(endpoint, where)
        for header in endpoint.headers:
            if header.lower() in ("authorization", "cookie", "proxy-authorization", "x-api-key", "api-key"):
                hint = "say it as `api_key`, from a file or a variable"
                yield Problem(where.replace("base_url", "headers"), f"{header} is a secret", hint)


def _url_problems(endpoint: Endpoint, where: str) -> Iterator[Problem]:
    url = parsed(endpoint.base_url)
    if url is None:
        yield Problem(
            where, "is no address of a server", "write `https://host/v1`, without a name, a password or a `?`"
        )
        return
    host = (url.host or "").lower().rstrip(".")
    if url.scheme == "http" and not is_loopback(host):
        hint = "what persons write would be read on the way: put TLS before it"
        yield Problem(where, "is plain http, which only this machine itself may do", hint)
    if not endpoint.third_party and not _is_own(host):
        hint = "what persons write would leave for it: say `third_party: true` if it may"
        yield Problem(where, f"{host} isn't visibly a host of one's own", hint)


def parsed(text: str) -> URL | None:
    """Return an address of a server, or None."""
    try:
        url = URL(text)
        is_one = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        return None
    if not is_one or url.user is not None or url.password is not None or url.query_string or url.fragment:
        return None
    return url


def is_loopback(host: str) -> bool:
    """Say whether it is this machine itself, without asking for its address."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _is_own(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_private
    return "." not in host or host.endswith(_OWN)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # All of these count as private, whichever address they stand for.
    return getattr(address, "ipv4_mapped", None) or address
