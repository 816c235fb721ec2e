"""What a server's refusals mean; of what it says beside its code nothing is quoted, since it may quote a person."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from tta_llm import LlmError
from tta_llm.errors import Code

_LONGEST_WAIT = 86_400.0
_STATUS: Mapping[int, tuple[Code, bool]] = {
    400: ("invalid_request", False), 401: ("denied", False), 402: ("over_budget", False), 403: ("denied", False),
    404: ("unavailable", False), 405: ("unavailable", False), 407: ("denied", False), 408: ("timed_out", True),
    409: ("unavailable", True), 413: ("too_large", False), 422: ("invalid_request", False),
    425: ("unavailable", True), 429: ("rate_limited", True), 500: ("unavailable", True), 501: ("unavailable", False),
    502: ("unavailable", True), 503: ("unavailable", True), 504: ("timed_out", True), 505: ("unavailable", False),
    529: ("unavailable", True),
}  # fmt: skip
"""What becomes of a status, and whether asking again may help. 404: it doesn't have the model, another may."""
_CODES: Mapping[str, tuple[Code, bool]] = {
    "context_length_exceeded": ("too_large", False), "content_filter": ("refused", False),
    "content_policy_violation": ("refused", False), "insufficient_quota": ("over_budget", False),
    "rate_limit_exceeded": ("rate_limited", True), "invalid_api_key": ("denied", False),
    "model_not_found": ("unavailable", False), "server_error": ("unavailable", True),
    "exceed_context_size_error": ("too_large", False),
}  # fmt: skip
"""Codes and types of errors that OpenAI, Azure and llama.cpp have, and that say more than the status does."""

_TOO_LONG = re.compile(
    r"(?:maximum|exceeds?|available|larger than)[^.]{0,40} context\b|context (?:length|window) ", re.IGNORECASE
)
"""How servers that have no code for it say that a request is longer than the model holds."""
_MOST_READ = 2000


def failure_of(status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
    """Return what a status means, with what the body's code adds."""
    if 300 <= status < 400:
        return LlmError("unavailable", f"HTTP {status}: redirects aren't followed", retryable=False, reached=False)
    code, retryable = _known(body) or _STATUS.get(status, ("unavailable", status >= 500))
    return LlmError(
        code, f"HTTP {status}", retryable=retryable, retry_after=retry_after(headers.get("Retry-After", "")),
        reached=status >= 500,
    )  # fmt: skip


def failure_in(error: Any) -> LlmError:
    """Return what an error means that stands in a stream, or in a body that was sent with status 200."""
    fields = error if isinstance(error, dict) else {}
    status = str(fields.get("code"))
    found = _of_fields(fields)
    if found is None and re.fullmatch("[1-5][0-9]{2}", status):
        # As a number or, behind some gateways, as a text.
        found = _STATUS.get(int(status))
    code, retryable = found or ("unavailable", True)
    return LlmError(code, "the server broke off with an error of its own", retryable=retryable)


def is_known(body: bytes) -> bool:
    """Say whether a refusal has a reason of its own, so that asking in another form won't help."""
    return _known(body) is not None


def refused_field(body: bytes) -> str:
    """Return the field of a request that a server says it doesn't take; "" where it names none."""
    field = _error_in(body).get("param")
    return field if isinstance(field, str) else ""


def retry_after(text: str) -> float | None:
    """Return the seconds that a header says, as a number or as a date; None for what is neither, or too long."""
    text = text.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        seconds = float(text)
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        seconds = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - time.time()
    return max(0.0, seconds) if seconds <= _LONGEST_WAIT else None


def _known(body: bytes) -> tuple[Code, bool] | None:
    return _of_fields(_error_in(body))


def _error_in(body: bytes) -> Mapping[str, Any]:
    """Return what a body says of an error: in a field of its own or, with older servers of vLLM, as all there is."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    error = told.get("error", told) if isinstance(told, dict) else None
    return error if isinstance(error, dict) else {}


def _of_fields(error: Mapping[str, Any]) -> tuple[Code, bool] | None:
    for name in ("code", "type"):
        word = error.get(name)
        if isinstance(word, str) and word in _CODES:
            return _CODES[word]
    message = error.get("message")
    if isinstance(message, str) and _TOO_LONG.search(message[:_MOST_READ]):
        return "too_large", False
    return None
