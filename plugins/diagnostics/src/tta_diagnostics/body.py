"""What a request brings besides its header, within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import parse_qsl

import anyio
from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from tta_http import BAD_REQUEST, REQUEST_TIMEOUT, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE

from .config import Config

MOST_PARAMETERS = 100


def query_of(text: str) -> Sequence[tuple[str, str]]:
    """Return the parameters of a query, or of a form; raises `HttpProblem`."""
    if not text:
        return ()
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise BAD_REQUEST("the query can't be read: it reads a=b&c=d, quoted, in UTF-8") from None


async def body_of(request: web.BaseRequest, config: Config) -> bytes:
    """Return the body; raises `HttpProblem` where it is too large, comes too slowly, or breaks off."""
    if not request.body_exists:
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UNSUPPORTED_MEDIA_TYPE("send it uncompressed", headers={"Accept-Encoding": "identity"})
    if (request.content_length or 0) > config.longest_body:
        raise TOO_LARGE(f"a body has up to {config.longest_body} bytes")
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    try:
        with anyio.fail_after(config.body_timeout):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > config.longest_body:
                    raise TOO_LARGE(f"a body has up to {config.longest_body} bytes")
    except TimeoutError:
        raise REQUEST_TIMEOUT("its body didn't arrive in time") from None
    except (HttpProcessingError, ClientError, web.RequestPayloadError, ConnectionError, asyncio.IncompleteReadError):
        raise BAD_REQUEST("the body breaks off") from None
    return bytes(body)
