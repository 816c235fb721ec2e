"""One endpoint: requests to it over HTTP, and whatever it does instead of answering."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import anyio
import msgspec
from msgspec import Struct

from tta_llm import Delta, Embedded, LlmError, ModelCall, Usage

from .answers import Answer, Counted
from .asked import Form, body_of
from .config import Endpoint
from .failures import failure_of, is_known, refused_field
from .sse import Events, TooLong

_MOST_ERROR = 65_536
_MOST_BODY = 32 * 2**20
_MOST_EVENT = 4 * 2**20
_MOST_FORMS = 1000
_REMEMBERED = 600.0
"""Seconds for which a server isn't asked again for what it has refused."""
_CONNECT = 5.0
_AFTER_FINISH = 2.0
"""Seconds that a server has to count tokens, and to say that it is done, once it has said why an answer ends."""
_AFTER_DONE = 0.1


class Listed(Struct):
    """A model, or a vector, in a list."""

    id: str = ""
    index: int = 0
    embedding: list[float] = []


class List(Struct):
    """What the endpoints that list things answer."""

    data: list[Listed]
    usage: Counted | None = None


class Client:
    """Talks to one endpoint, while `opened`; ``session`` is its own."""

    def __init__(self, name: str, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self.name, self._endpoint, self._session = name, endpoint, session
        self._base = endpoint.base_url.rstrip("/")
        self._forms: OrderedDict[tuple[str, bool], tuple[Form, float]] = OrderedDict()
        """By model and whether JSON was wanted: what it took, and until when it is asked for no more than that."""

    async def models(self) -> Sequence[str]:
        """Return the names of its models."""
        async with self._answered("GET", "/models", None, _CONNECT) as answer:
            found = await self._listed(answer)
        return [each.id for each in found.data if each.id]

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        """Return one vector for each text."""
        body = {"model": model, "input": list(texts), "encoding_format": "float"}
        async with self._answered("POST", "/embeddings", body, _CONNECT) as answer:
            found = await self._listed(answer)
        vectors = [each.embedding for each in sorted(found.data, key=lambda each: each.index)]
        counted = found.usage or Counted()
        return Embedded(vectors, Usage(counted.usage.prompt))

    async def stream(self, call: ModelCall, model: str) -> AsyncGenerator[Delta, None]:
        """Ask a model; a server that refuses how it is asked for JSON, or for counts, is asked in a simpler way."""
        key = (model, call.schema is not None)
        form: Form | None = self._known(key)
        while form is not None:
            body = body_of(call, model, form, self._endpoint.limit_field)
            async with self._sent("POST", "/chat/completions", body, call.connect) as answer:
                if answer.status == 200:
                    self._keep(key, form)
                    async with aclosing(self._told(answer, call.most)) as deltas:
                        async for delta in deltas:
                            yield delta
                    return
                failed = await _bounded(answer, _MOST_ERROR, cut=True)
                simpler = form.after_refusal(call, answer.status, refused_field(failed))
                if simpler is None or is_known(failed):
                    raise failure_of(answer.status, answer.headers, failed)
                form = simpler

    def _known(self, key: tuple[str, bool]) -> Form:
        form, until = self._forms.get(key, (Form(), 0.0))
        return form if anyio.current_time() < until else Form()

    def _keep(self, key: tuple[str, bool], form: Form) -> None:
        # Not for ever: it may have failed for another reason, or be a newer one by then.
        if self._known(key) != form:
            self._forms[key] = (form, anyio.current_time() + _REMEMBERED)
        if len(self._forms) > _MOST_FORMS:
            self._forms.popitem(last=False)

    async def _told(self, answer: aiohttp.ClientResponse, most: int) -> AsyncGenerator[Delta, None]:
        gathered = Answer(most)
        if answer.content_type == "application/json":
            # It doesn't stream: all of it comes at once.
            for delta in gathered.take(await _bounded(answer, _MOST_BODY)):
                yield delta
            yield gathered.end()
            return
        if answer.content_type != "text/event-stream":
            raise LlmError("unavailable", "the server answers with what is no stream of events", retryable=False)
        events, ended = Events(_MOST_EVENT), False
        while not ended:
            piece = await _piece(answer, gathered)
            if not piece:
                break
            for data in _cut(events, piece):
                if data.strip() == "[DONE]":
                    ended = True
                    break
                for delta in gathered.take(data):
                    yield delta
        if gathered.finish is None and not ended:
            raise LlmError("broken_stream", "the server ended its answer in the middle")
        with anyio.move_on_after(_AFTER_DONE):
            # Read to its end, so that the next request may have the connection.
            await answer.content.readany()
        yield gathered.end()

    @asynccontextmanager
    async def _answered(
        self, method: str, path: str, body: Mapping[str, Any] | None, connect: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._sent(method, path, body, connect) as answer:
            if answer.status != 200:
                raise failure_of(answer.status, answer.headers, await _bounded(answer, _MOST_ERROR, cut=True))
            yield answer

    async def _listed(self, answer: aiohttp.ClientResponse) -> List:
        try:
            return msgspec.json.decode(await _bounded(answer, _MOST_BODY), type=List)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise LlmError("unavailable", "the server answers with what is no list", retryable=False) from None

    @asynccontextmanager
    async def _sent(
        self, method: str, path: str, body: Mapping[str, Any] | None, connect: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; all that may happen to it is an `LlmError`, in which nothing of the address or a text is."""
        headers = {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}
        headers |= dict(self._endpoint.headers)
        if self._endpoint.api_key:
            headers["Authorization"] = f"Bearer {self._endpoint.api_key}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        # Whoever listens sees to the time in all; only they can't see how long connecting takes.
        limits = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        began = False
        try:
            async with self._session.request(
                method, self._base + path, data=data, headers=headers, timeout=limits, allow_redirects=False
            ) as answer:
                began = True
                yield answer
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise _failure(exc, began=began) from None


@asynccontextmanager
async def opened(name: str, endpoint: Endpoint) -> AsyncIterator[Client]:
    """Open connections to an endpoint for as long as the block; none is made before it is needed."""
    trusted: ssl.SSLContext | bool = True
    if endpoint.ca_file is not None:
        trusted = ssl.create_default_context(cafile=str(endpoint.ca_file))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=endpoint.connections, ssl=trusted),
        # Nobody but the config says where requests go, and no server is known again.
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # What is packed isn't asked for, and isn't taken: a few bytes of it can be gigabytes.
        auto_decompress=False,
    ) as session:
        yield Client(name, endpoint, session)


async def _piece(answer: aiohttp.ClientResponse, gathered: Answer) -> bytes:
    """Return what comes next, or nothing where the answer has ended, or has said why it ends and says no more."""
    if gathered.finish is None:
        return await answer.content.readany()
    with anyio.move_on_after(_AFTER_FINISH):
        return await answer.content.readany()
    return b""


def _cut(events: Events, piece: bytes) -> Sequence[str]:
    try:
        return [*events.feed(piece)]
    except TooLong as exc:
        raise LlmError("too_large", f"the server sends an event of {exc}") from None
    except UnicodeDecodeError:
        raise LlmError("broken_stream", "the server sends what is no UTF-8") from None


async def _bounded(answer: aiohttp.ClientResponse, most: int, *, cut: bool = False) -> bytes:
    """Return a body of at most ``most`` bytes; of a longer one the beginning, with ``cut``, or an `LlmError`."""
    body = bytearray()
    while piece := await answer.content.readany():
        body += piece
        if len(body) > most:
            if cut:
                break
            raise LlmError("too_large", f"the server answers with more than {most} bytes")
    return bytes(body[:most])


def _failure(exc: Exception, *, began: bool) -> LlmError:
    """Return what went wrong with a connection, by the class of the error: its text holds the address."""
    what = type(exc).__name__
    if isinstance(exc, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return LlmError("unavailable", f"the server isn't who it should be: {what}", retryable=False, reached=False)
    if isinstance(exc, TimeoutError):
        return LlmError("timed_out", f"the server can't be reached in time: {what}", reached=began)
    if isinstance(exc, aiohttp.ClientConnectorError):
        return LlmError("unavailable", f"the server can't be reached: {what}", reached=False)
    if began:
        return LlmError("broken_stream", f"the connection broke: {what}")
    return LlmError("unavailable", f"the server doesn't answer as it should: {what}")
