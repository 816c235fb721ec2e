"""An issuer's keys, from its address or from a file; both block, and so run in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from .config import Oidc
from .model import AccessError

LARGEST = 1_000_000
"""Bytes that a set of keys may have."""


class _NoRedirect(HTTPRedirectHandler):
    """Goes where config says, and nowhere else: not to an address inside, and not to one without TLS."""

    def redirect_request(self, *_: Any, **__: Any) -> Request | None:
        return None


def fetch(config: Oidc) -> Mapping[str, Any]:
    """Get the keys by HTTPS."""
    request = Request(config.jwks_url, headers={"Accept": "application/json"})  # noqa: S310 - `Oidc` looks at the scheme
    try:
        with build_opener(_NoRedirect).open(request, timeout=config.timeout) as answer:
            data = answer.read(LARGEST + 1)
    except (OSError, ValueError, URLError) as exc:
        raise AccessError(f"the issuer's keys can't be fetched: {type(exc).__name__}") from exc
    return _decoded(data)


def read(config: Oidc) -> Mapping[str, Any]:
    """Read the keys from a file."""
    assert config.jwks_file is not None
    try:
        with config.jwks_file.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise AccessError(f"{config.jwks_file}: {exc.strerror}") from exc
    return _decoded(data)


def _decoded(data: bytes) -> Mapping[str, Any]:
    if len(data) > LARGEST:
        raise AccessError(f"the issuer's keys have more than {LARGEST} bytes")
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise AccessError("the issuer's keys are no JSON object") from exc
