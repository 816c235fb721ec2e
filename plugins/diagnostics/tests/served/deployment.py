"""A deployment that serves on a port of its own, asked as programs ask: through aiohttp's client, or byte by byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import anyio
import anyio.abc
import anyio.lowlevel
import msgspec

from tta_diagnostics import ADDRESSES, DiagnosticsPlugin
from tta_http import PUBLIC, HttpPlugin, Principal, Route
from tta_kernel import Kernel, KernelSettings, NoConfig, Plugin, PluginSettings, Service, hookimpl


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json", self
        return str(self.json["code"])


class Deployment:
    """A kernel that serves, and a client."""

    def __init__(self, kernel: Kernel, client: aiohttp.ClientSession) -> None:
        self.kernel = kernel
        self.client = client
        self.addresses = kernel.get(ADDRESSES)
        self.port = int(self.addresses[0].rpartition(":")[2])

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self.client.request(method, self.addresses[0] + path, **options) as found:
            return Answer(found.status, found.headers, await found.read())

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers={name.replace("_", "-"): it for name, it in headers.items()})

    async def forever(self) -> None:
        await anyio.sleep_forever()

    async def send(self, *pieces: bytes, end: bool = False) -> bytes:
        """Send bytes as they are, and return all that comes until the server closes."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            for piece in pieces:
                await stream.send(piece)
            if end:
                await stream.send_eof()
            return await rest_of(stream)


async def rest_of(stream: anyio.abc.ByteReceiveStream) -> bytes:
    found = b""
    with anyio.fail_after(20):
        try:
            while True:
                found += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return found


Serve = Callable[..., AbstractAsyncContextManager[Deployment]]


@asynccontextmanager
async def serving(
    *routes: Route,
    plugins: Mapping[str, type[Plugin[Any]]] | None = None,
    services: Mapping[Service[Any], object] | None = None,
    http: Mapping[str, Any] | None = None,
    required: Mapping[str, bool] | None = None,
    configs: Mapping[str, Any] | None = None,
    stop_timeout: float = 5.0,
    hook_timeouts: Mapping[str, float] | None = None,
    wait: bool = True,
    **config: Any,
) -> AsyncIterator[Deployment]:
    class Things(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def routes(self) -> Sequence[Route]:
            return routes

    often = {"probe": {"per_second": 10_000, "burst": 10_000}}  # Whoever waits here for all to be ready asks often.
    given = {"listeners": [{"port": 0}], "drain": 0, "rates": often, **config}
    settings = KernelSettings(
        stop_timeout=stop_timeout,
        hook_timeouts=dict(hook_timeouts or {}),
        plugins={
            "diagnostics": PluginSettings(config=given),
            "http": PluginSettings(config=dict(http or {})),
            **{name: PluginSettings(required=each) for name, each in (required or {}).items()},
            **{name: PluginSettings(config=dict(each)) for name, each in (configs or {}).items()},
        },
    )
    mine = {"things": Things, "http": HttpPlugin, "diagnostics": DiagnosticsPlugin, **(plugins or {})}
    async with Kernel(settings, plugins=mine, services=services) as kernel, aiohttp.ClientSession() as client:
        deployment = Deployment(kernel, client)
        if wait:
            with anyio.fail_after(10):
                await ready(deployment)
        yield deployment


async def ready(deployment: Deployment) -> None:
    """Wait until all have been asked how they are: before, it isn't ready."""
    while (await deployment.get("/readyz")).status != 200:
        await anyio.lowlevel.checkpoint()


class Ask(msgspec.Struct, frozen=True):
    id: str = ""
    many: int = 1


class Told(msgspec.Struct, frozen=True):
    id: str
    many: int = 0


async def tell(request: Ask, principal: Principal) -> Told:
    return Told(request.id, request.many)


def route(path: str = "/things/{id}", method: Any = "GET", **others: Any) -> Route:
    values = {"permission": PUBLIC, "request": Ask, "response": Told, "summary": "Tell.", "handler": tell, **others}
    return Route(method=method, path=path, **values)
