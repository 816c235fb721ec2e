"""What a request is answered with, as the standards say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tta_http import (
    NOT_FOUND,
    Content,
    Html,
    Media,
    Nothing,
    Page,
    Principal,
    Route,
    Socket,
    Stream,
    Upgrade,
)
from tta_kernel import ConfigError, Context, KernelSettings, NoConfig, NotReady, Plugin, PluginSettings, hookimpl
from tta_program import reload

from .deployment import Ask, Serve, Told, route


async def missing(request: Ask, principal: Principal) -> Told:
    raise NOT_FOUND("no such thing")


async def scraped(request: Nothing, principal: Principal, kind: str) -> Content:
    return Content(kind.encode(), 203)


async def page(request: Ask, principal: Principal) -> Page:
    return Page(f"<p>{request.many}</p>", location="/things/7" if request.many == 2 else "")


async def count(request: Ask, principal: Principal) -> AsyncIterator[bytes]:
    for n in range(request.many):
        yield b"%d," % n


async def echo(request: Nothing, principal: Principal, socket: Socket) -> None:
    while (message := await socket.receive()) is not None:
        await socket.send(message)


async def test_a_struct_comes_as_json_with_the_headers_that_all_have(serve: Serve) -> None:
    async with serve(route()) as deployment:
        answer = await deployment.get("/things/a%2Fb?many=3")

    assert (answer.status, answer.json) == (200, {"id": "a/b", "many": 3})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "tta"
    assert answer.headers["X-Correlation-Id"]


async def test_a_json_body_fills_the_request(serve: Serve) -> None:
    async with serve(route(method="POST", status=202)) as deployment:
        answer = await deployment.ask("POST", "/things/7", json={"many": 3})
        empty = await deployment.ask("POST", "/things/7")

    assert (answer.status, answer.json) == (202, {"id": "7", "many": 3})
    assert (empty.status, empty.json) == (202, {"id": "7", "many": 1})


async def test_head_is_a_get_without_its_body(serve: Serve) -> None:
    async with serve(route()) as deployment:
        got = await deployment.get("/things/7")
        answer = await deployment.ask("HEAD", "/things/7")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(got.body))


async def test_options_says_which_methods_there_are_and_no_word_of_cors(serve: Serve) -> None:
    async with serve(route(), route(method="DELETE")) as deployment:
        answer = await deployment.ask("OPTIONS", "/things/7")

    assert (answer.status, answer.headers["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
    assert [name for name in answer.headers if name.lower().startswith("access-control")] == []


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not-found"),
        ("GET", "/missing", {}, 404, "not-found"),
        ("DELETE", "/things/7", {}, 405, "method-not-allowed"),
        ("GET", "/things/7", {"headers": {"Accept": "text/html"}}, 406, "not-acceptable"),
        ("GET", "/things/7?many=x", {}, 422, "invalid"),
        ("GET", "/things/7?mny=1", {}, 422, "invalid"),
        ("GET", "/things/7?many=%ff", {}, 400, "bad-request"),
        ("GET", "/things/7", {"json": {}}, 400, "bad-request"),
        ("POST", "/things/7", {"json": {"many": "x"}}, 422, "invalid"),
        ("POST", "/things/7", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad-request"),
        (
            "POST",
            "/things/7",
            {"data": b"{}", "headers": {"Content-Type": "text/plain"}},
            415,
            "unsupported-media-type",
        ),
        (
            "POST",
            "/things/7",
            {"data": b"{}", "headers": {"Content-Type": "application/json", "Content-Encoding": "br"}},
            415,
            "unsupported-media-type",
        ),
        ("POST", "/things/7", {"json": {"many": "x" * 300_000}}, 413, "too-large"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem(
    serve: Serve, method: str, path: str, options: dict[str, object], status: int, code: str
) -> None:
    async with serve(route(), route(method="POST"), route("/missing", handler=missing)) as deployment:
        answer = await deployment.ask(method, path, **options)
        assert (answer.status, answer.code) == (status, code)
        assert answer.json["status"] == status
        assert answer.json["type"] == f"urn:tta:problem:{code}"
        assert (await deployment.get("/things/8")).status == 200


async def test_a_body_that_grows_too_large_on_its_way_is_refused(serve: Serve) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1024

    async with serve(route(method="POST")) as deployment:
        answer = await deployment.ask("POST", "/things/7", data=endless(), headers={"Content-Type": "application/json"})

    assert (answer.status, answer.code) == (413, "too-large")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/a"),
        ("*/*", "text/a"),
        ("text/b", "text/b"),
        ("text/a;q=0.1, text/b", "text/b"),
        ("text/*, text/a;q=0", "text/b"),
        ("image/png, */*;q=0.1", "text/a"),
        ("text/b;version=2;q=0.9, text/b;version=1;q=0", "text/b"),
    ],
)
async def test_the_media_type_that_is_asked_for_is_given(serve: Serve, accept: str, kind: str) -> None:
    """nautobot/nautobot#8026: Prometheus names each version of a type by itself, and the last one counted alone."""
    media = Media(("text/a", "text/b"), (203,))
    async with serve(route("/scrape", request=Nothing, response=media, handler=scraped)) as deployment:
        answer = await deployment.get("/scrape", Accept=accept)

    assert (answer.status, answer.body.decode(), answer.headers["Content-Type"]) == (203, kind, kind)


async def test_a_page_takes_a_form_and_leads_on_within_the_server(serve: Serve) -> None:
    pages = (route("/page", response=Html(), handler=page), route("/page", "POST", response=Html(), handler=page))
    async with serve(*pages) as deployment:
        got = await deployment.get("/page")
        sent = await deployment.ask("POST", "/page", data={"many": "2"}, allow_redirects=False)
        wrong = await deployment.ask("POST", "/page", json={"many": 2})

    assert (got.body, got.headers["Content-Type"]) == (b"<p>1</p>", "text/html; charset=utf-8")
    assert "default-src 'none'" in got.headers["Content-Security-Policy"]
    assert (sent.status, sent.headers["Location"]) == (303, "/things/7")
    assert (wrong.status, wrong.code) == (415, "unsupported-media-type")


async def test_a_stream_comes_piece_by_piece(serve: Serve) -> None:
    async with serve(route("/count", response=Stream("text/event-stream"), handler=count)) as deployment:
        answer = await deployment.get("/count?many=3")

    assert (answer.body, answer.headers["Content-Type"]) == (b"0,1,2,", "text/event-stream")


async def test_a_socket_is_spoken_through(serve: Serve) -> None:
    talk = route("/talk", request=Nothing, response=Upgrade(("v1",)), handler=echo)
    async with serve(talk) as deployment:
        async with deployment.client.ws_connect(deployment.addresses[0] + "/talk", protocols=["v1"]) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            assert socket.protocol == "v1"
        plain = await deployment.get("/talk")

    assert (plain.status, plain.code) == (400, "bad-request")


async def test_a_socket_from_a_page_of_another_origin_is_refused(serve: Serve) -> None:
    talk = route("/talk", request=Nothing, response=Upgrade(), handler=echo)
    async with serve(talk) as deployment:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await deployment.client.ws_connect(deployment.addresses[0] + "/talk", origin="http://evil.example")


async def test_whoever_asks_too_often_is_told_when_to_come_back(serve: Serve) -> None:
    async with serve(route(), rates={"read": {"per_second": 0.1, "burst": 2}}) as deployment:
        statuses = [(await deployment.get("/things/7")).status for _ in range(3)]
        answer = await deployment.get("/things/7")

        assert statuses == [200, 200, 429]
        assert answer.code == "rate-limited"
        assert 1 <= int(answer.headers["Retry-After"]) <= 11
        assert (await deployment.get("/livez")).status == 200


async def test_a_route_whose_plugin_does_not_run_is_unavailable(serve: Serve) -> None:
    class Waiting(Plugin[NoConfig]):
        @asynccontextmanager
        async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
            raise NotReady("not yet")
            yield

        @hookimpl
        def routes(self) -> Sequence[Route]:
            return [route("/waiting")]

    async with serve(plugins={"waiting": Waiting}, required={"waiting": False}) as deployment:
        answer = await deployment.get("/waiting")

    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")


async def test_limits_are_changed_without_a_restart_and_listeners_are_not(serve: Serve) -> None:
    def settings(**config: object) -> KernelSettings:
        return KernelSettings(plugins={"diagnostics": PluginSettings(config={"listeners": [{"port": 0}], **config})})

    async with serve(route(), rates={"read": {"per_second": 0.1, "burst": 1}}) as deployment:
        statuses = [(await deployment.get("/things/7")).status for _ in range(2)]
        done = await reload(deployment.kernel, settings(rates={"read": {"per_second": 100, "burst": 100}}))
        statuses.append((await deployment.get("/things/7")).status)

        assert done.changed == ["diagnostics"]
        assert statuses == [200, 429, 200]
        with pytest.raises(ConfigError, match=r"listeners: can't be changed while it runs; restart, or undo it"):
            await reload(deployment.kernel, settings(listeners=[{"port": 0}, {"port": 0}]))
