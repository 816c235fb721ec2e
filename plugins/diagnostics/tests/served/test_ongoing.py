"""Answers that go on: clients that leave, handlers that break off, and a stop meanwhile."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

import aiohttp
import anyio
import anyio.lowlevel
import pytest

from tta_audit import AUDIT, AuditMemory, AuditPlugin
from tta_http import Nothing, Principal, Route, Socket, Stream, Upgrade
from tta_metrics import METRICS, MetricsPlugin, prometheus_text

from .deployment import Ask, Deployment, Serve, Told, rest_of, route

PLUGINS = {"metrics": MetricsPlugin}
POUR = b"GET /pour HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Endless:
    """A stream and a socket that say when they begin and when they end."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.ended = anyio.Event()

    async def pour(self, request: Nothing, principal: Principal) -> AsyncIterator[bytes]:
        try:
            yield b"one,"
            self.begun.set()
            await anyio.sleep_forever()
        finally:
            self.ended.set()

    async def think(self, request: Nothing, principal: Principal) -> AsyncIterator[bytes]:
        try:
            self.begun.set()
            await anyio.sleep_forever()
            yield b"never"
        finally:
            self.ended.set()

    async def talk(self, request: Nothing, principal: Principal, socket: Socket) -> None:
        try:
            self.begun.set()
            await anyio.sleep_forever()
        finally:
            self.ended.set()

    async def slow(self, request: Ask, principal: Principal) -> Told:
        self.begun.set()
        await anyio.sleep_forever()
        return Told("never")

    def routes(self) -> list[Route]:
        return [
            route("/pour", request=Nothing, response=Stream(), handler=self.pour),
            route("/think", request=Nothing, response=Stream(), handler=self.think),
            route("/talk", request=Nothing, response=Upgrade(), handler=self.talk),
            route("/slow", handler=self.slow, timeout=60.0),
        ]


@pytest.fixture
def endless() -> Endless:
    return Endless()


async def holds(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


def counted(deployment: Deployment, path: str) -> list[str]:
    text = prometheus_text(deployment.kernel.get(METRICS)).decode()
    return re.findall(rf'tta_http_answers_total{{route="{path}",status="(\d+)"}} 1\n', text)


def connections(deployment: Deployment) -> float:
    text = prometheus_text(deployment.kernel.get(METRICS)).decode()
    [found] = re.findall(r"^tta_http_connections (\d+)$", text, re.MULTILINE)
    return float(found)


@pytest.mark.parametrize("path", ["/pour", "/think"])
async def test_a_stream_ends_with_its_client(serve: Serve, endless: Endless, path: str) -> None:
    async with serve(*endless.routes(), plugins=PLUGINS) as deployment:
        await deployment.client.close()
        async with await anyio.connect_tcp("127.0.0.1", deployment.port) as stream:
            await stream.send(POUR.replace(b"/pour", path.encode()))
            await endless.begun.wait()
            assert connections(deployment) == 1
        with anyio.fail_after(10):
            await endless.ended.wait()
        await holds(lambda: counted(deployment, path) == ["200"])
        assert connections(deployment) == 0


async def test_a_socket_ends_with_its_client(serve: Serve, endless: Endless) -> None:
    async with serve(*endless.routes(), plugins=PLUGINS) as deployment:
        socket = await deployment.client.ws_connect(deployment.addresses[0] + "/talk")
        await endless.begun.wait()
        await deployment.client.close()  # without a word of goodbye
        with anyio.fail_after(10):
            await endless.ended.wait()
        await holds(lambda: counted(deployment, "/talk") == ["101"])
        assert connections(deployment) == 0
        await socket.close()


async def test_whoever_reads_slowly_gets_all_of_a_stream(serve: Serve) -> None:
    pieces = 40

    async def pour(request: Nothing, principal: Principal) -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b"x" * 65_536

    steady = route("/pour", request=Nothing, response=Stream(), handler=pour)
    async with (
        serve(steady, write_timeout=2.0) as deployment,
        await anyio.connect_tcp("127.0.0.1", deployment.port) as stream,
    ):
        await stream.send(POUR)
        found = 0
        with anyio.fail_after(30):
            while found < pieces * 65_536:
                # Each read leaves the server waiting, and none for as long as it may.
                found += (await stream.receive(32_768)).count(b"x")
                await anyio.sleep(0.005)


async def test_a_stream_that_raises_breaks_off_and_counts_as_a_failure(serve: Serve) -> None:
    async def pour(request: Nothing, principal: Principal) -> AsyncIterator[bytes]:
        yield b"one,"
        raise ValueError("SECRET")

    broken = route("/pour", request=Nothing, response=Stream(), handler=pour)
    async with serve(broken, route(), plugins=PLUGINS) as deployment:
        answer = await deployment.send(POUR)
        assert b"one," in answer
        assert not answer.endswith(b"0\r\n\r\n")
        assert b"SECRET" not in answer
        await holds(lambda: counted(deployment, "/pour") == ["500"])
        assert (await deployment.get("/things/7")).status == 200


async def test_a_socket_whose_handler_raises_says_so_and_counts_as_a_failure(serve: Serve) -> None:
    async def talk(request: Nothing, principal: Principal, socket: Socket) -> None:
        await socket.send("one")
        raise ValueError("SECRET")

    broken = route("/talk", request=Nothing, response=Upgrade(), handler=talk)
    async with serve(broken, plugins=PLUGINS) as deployment:
        async with deployment.client.ws_connect(deployment.addresses[0] + "/talk") as socket:
            assert await socket.receive_str() == "one"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1011
        await holds(lambda: counted(deployment, "/talk") == ["500"])


class AskText(Nothing, frozen=True):
    text: bool = False


async def test_text_flows_only_once_that_is_recorded(serve: Serve) -> None:
    async def pour(request: AskText, principal: Principal) -> AsyncIterator[bytes]:
        yield b"what somebody wrote"

    revealing = route("/pour", request=AskText, response=Stream(), handler=pour, reveals="text")
    from .test_proof import GIVEN, KEYS
    from .test_proof import PLUGINS as PROOF

    authorized = {"Authorization": f"Bearer {KEYS['reader']}"}
    without = {name: each for name, each in PROOF.items() if not name.startswith("audit")}
    async with serve(revealing, plugins=without, configs={"access": GIVEN}) as deployment:
        refused = await deployment.get("/pour?text=true", **authorized)
        assert (refused.status, refused.code) == (503, "unavailable")
        assert b"wrote" not in refused.body
    async with serve(
        revealing, plugins={**without, "audit": AuditPlugin, "audit-memory": AuditMemory}, configs={"access": GIVEN}
    ) as deployment:
        assert (await deployment.get("/pour?text=true", **authorized)).body == b"what somebody wrote"
        assert [each.what for each in await deployment.kernel.get(AUDIT).read(what="text.read")] == ["text.read"]


async def test_a_stop_ends_streams_and_sockets_at_once_and_in_order(serve: Serve, endless: Endless) -> None:
    talking = Endless()
    answers: list[bytes] = []
    codes: list[int | None] = []

    async def listen(port: int) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(POUR)
            answers.append(await rest_of(stream))

    async def talk(address: str) -> None:
        async with aiohttp.ClientSession(address) as client, client.ws_connect("/talk") as socket:
            await socket.receive()
            codes.append(socket.close_code)

    routes = [endless.routes()[0], talking.routes()[2]]
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks, serve(*routes, stop_timeout=30.0) as deployment:
            tasks.start_soon(listen, deployment.port)
            tasks.start_soon(talk, deployment.addresses[0])
            await endless.begun.wait()
            await talking.begun.wait()

    [answer] = answers
    assert answer.endswith(b"one,\r\n0\r\n\r\n")
    assert codes == [1001]
    assert endless.ended.is_set()
    assert talking.ended.is_set()


async def test_a_request_that_takes_longer_than_the_stop_may_is_answered_all_the_same(
    serve: Serve, endless: Endless
) -> None:
    answers: list[bytes] = []

    async def ask(port: int) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(SLOW)
            answers.append(await rest_of(stream))

    async with anyio.create_task_group() as tasks, serve(*endless.routes(), stop_timeout=2.0) as deployment:
        tasks.start_soon(ask, deployment.port)
        await endless.begun.wait()

    [answer] = answers
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in answer
    assert b'"code":"unavailable"' in answer
    assert deployment.kernel.records["diagnostics"].state == "stopped"
