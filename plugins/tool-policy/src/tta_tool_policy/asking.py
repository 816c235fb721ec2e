"""Asks a running system over HTTP, for a command that acts on what runs there and not here."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, TypeVar

import anyio.to_thread
import msgspec

T = TypeVar("T")
_LIMIT = 20.0
_LARGEST = 4_000_000


class Unanswered(Exception):
    """There is no answer of the kind that is due; the text says why, and what to do."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing: the key of who asks would go there, too."""


async def ask(base: str, method: str, path: str, wanted: type[T], body: Mapping[str, Any] | None = None) -> T:
    """Return what a route answers; raise `Unanswered` where it doesn't. The caller's key stands in ``TTA_KEY``."""
    if not base.startswith(("http://", "https://")):
        raise Unanswered("a URL reads http://HOST:PORT or https://HOST")
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("TTA_KEY", ""):
        headers["Authorization"] = f"Bearer {key}"
    sent = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(base.rstrip("/") + path, sent, headers, method=method)  # noqa: S310 - see above
    answer = await anyio.to_thread.run_sync(_answer, request)
    try:
        return msgspec.json.decode(answer, type=wanted)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Unanswered(f"what answers at {base} is another system, or of another release") from None


def _answer(request: urllib.request.Request) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=_LIMIT) as answer:
            found: bytes = answer.read(_LARGEST)
            return found
    except urllib.error.HTTPError as error:
        raise Unanswered(_problem(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unanswered(f"nothing answers at {request.host}: {reason}") from None


def _problem(error: urllib.error.HTTPError) -> str:
    """Return what a problem of RFC 9457 says."""
    try:
        found = msgspec.json.decode(error.read(_LARGEST))
        told = str(found.get("detail") or found.get("title"))[:2000]
    except (msgspec.DecodeError, AttributeError, OSError):
        told = error.reason
    hint = "; the key of who asks is to stand in TTA_KEY" if error.code == 401 else ""
    return f"{error.code}: {told}{hint}"
