"""Which of the media types that a route has is asked for (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tta_http import NOT_ACCEPTABLE, UNSUPPORTED_MEDIA_TYPE

JSON = "application/json"
PROBLEM = "application/problem+json"
LONGEST = 1000
"""Characters of the header that are read; who lists more types gets the default."""


def choose(accept: str | None, types: Sequence[str]) -> str:
    """Return the type to answer with, the first where anything will do; raises `HttpProblem` (406)."""
    if accept is None or accept == "*/*" or not accept.strip():
        return types[0]
    chosen = _best(accept[:LONGEST], tuple(types))
    if chosen is None:
        raise NOT_ACCEPTABLE(f"there is {', '.join(map(essence, types))}")
    return chosen


def essence(media_type: str) -> str:
    """Return a media type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def demand_json(content_type: str | None) -> None:
    """Raise `HttpProblem` (415) unless a body says that it is JSON."""
    kind = essence(content_type or "")
    charset = (content_type or "").lower().partition("charset=")[2].strip('" ')
    if kind != "application/json" or charset not in ("", "utf-8"):
        raise UNSUPPORTED_MEDIA_TYPE("send application/json", headers={"Accept": "application/json"})


@lru_cache(256)
def _best(accept: str, types: Sequence[str]) -> str | None:
    """Return the type with the highest quality; of equals the one that comes first on our side."""
    ranges = [_read(each) for each in accept.split(",") if each.strip()]
    found: list[tuple[float, str]] = []
    for media_type in types:
        kind = essence(media_type)
        family = kind.partition("/")[0]
        matching: dict[str, float] = {}
        for name, quality in ranges:
            # Prometheus names a type once for each version that it reads, each with a quality of its own.
            if name in (kind, f"{family}/*", "*/*"):
                matching[name] = max(quality, matching.get(name, 0.0))
        # What names it more exactly counts, be it better or worse.
        quality = next((matching[name] for name in (kind, f"{family}/*", "*/*") if name in matching), 0.0)
        if quality > 0:
            found.append((quality, media_type))
    return max(found, key=lambda each: each[0])[1] if found else None


def _read(text: str) -> tuple[str, float]:
    kind, *parameters = text.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return kind.strip().lower(), min(max(float(value), 0.0), 1.0)
            except ValueError:
                return kind.strip().lower(), 0.0
    return kind.strip().lower(), 1.0
