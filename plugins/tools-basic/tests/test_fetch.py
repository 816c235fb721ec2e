"""Fetching, against a real server and a resolver that lies: nothing of ours is reached, and nothing takes for ever."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import web

from tta_tools import ToolError
from tta_tools_basic import FetchConfig, Page, fetch_tool, is_allowed

LOOPBACK = "127.0.0.0/8"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REFUSED = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "100.64.0.1", "169.254.169.254", "169.254.170.2", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "168.63.129.16", "192.0.0.192", "100.100.100.200", "2002:a83f:8110::1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
    "64:ff9b:1:7f00:0:100::", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:0a00:0001::", "2001:0:7f00:1::",
    "2001:0:53aa:64c:0:fbff:ad5e:9b5c", "2001:db8::1", "3fff::1", "100::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fe80::1%1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "5f00::1", "2607:f8b0::5efe:10.0.0.1",
    "2607:f8b0::200:5efe:127.0.0.1", "2002:6440:1::1", "64:ff9b::100.64.0.1",
    "", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "127.000.000.001", "[::1]", "1.1.1.1 ",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "2606:4700:4700::1111", "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1", "2002:101:101::1", "2607:f8b0::5efe:1.1.1.1",
]  # fmt: skip


def test_an_address_that_leads_into_a_network_of_ours_is_refused_however_it_is_written() -> None:
    assert [address for address in (*REFUSED, *PUBLIC) if is_allowed(address)] == PUBLIC


def test_a_network_that_config_names_is_allowed_and_where_clouds_keep_their_secrets_never() -> None:
    private = [ipaddress.ip_network(each) for each in ("10.1.0.0/16", "169.254.0.0/16", "0.0.0.0/0", "fc00::/7")]
    assert is_allowed("10.1.2.3", private[:2])
    assert not is_allowed("10.2.2.3", private[:2])
    secrets = ("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "168.63.129.16", "fd00:ec2::254")
    for address in (*secrets, "0.0.0.0", "224.0.0.1"):
        assert not is_allowed(address, private)


class Resolver:
    """Answers for a name what it is told to: each time it is asked the next, and at the end always the last."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.asked: list[str] = []
        self._answers = {name.replace("_", "."): each for name, each in answers.items()}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


HERE = [["127.0.0.1"]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def fetch(url: str, resolver: Resolver, port: int = 80, **config: Any) -> Page:
    given: dict[str, Any] = {
        "hosts": ("story.example", "*.story.example"),
        "networks": (LOOPBACK,),
        "http": True,
        "ports": (port,),
    }
    tool = fetch_tool(FetchConfig(**given | config), resolver)
    page: Page = await tool(url=url)
    return page


async def code(url: str, resolver: Resolver, port: int = 80, **config: Any) -> str:
    with pytest.raises(ToolError) as caught:
        await fetch(url, resolver, port, **config)
    # It tells nobody what was asked for.
    assert "example" not in str(caught.value)
    return str(caught.value.code)


async def test_a_text_is_fetched_and_nobody_is_told_who_asks() -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers)
        response = web.Response(text="Grüße", charset="iso-8859-1", status=203)
        response.set_cookie("seen", "1")
        return response

    async with serving(handler) as port:
        page = await fetch(f"http://story.example:{port}/a?b=c#d", Resolver(story_example=HERE), port)
        await fetch(f"http://story.example:{port}/a", Resolver(story_example=HERE), port)
    assert page == Page(203, "text/plain", "Grüße")
    assert seen[0].keys() == seen[1].keys() == {"Host", "Accept", "Accept-Encoding", "User-Agent"}


NOT_NAMED = [
    "http://elsewhere.example/", "http://story.example.evil.example/", "http://evilstory.example/",
    "http://127.0.0.1/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/", "http://story.example:22/",
    "ftp://story.example/", "file:///etc/passwd", "gopher://story.example/", "http://user:pass@story.example/",
    "http://user@story.example/", "http://story.example@evil.example/", "https:///etc/passwd", "//story.example/",
    "http://%65vil.example/", "http://xn--story.example/", "data:text/plain,hello", "http://.story.example.evil/",
]  # fmt: skip
TWO_WAYS = [
    "http://story.example\\@evil.example/", "http://story.example\t/", "http://story.example /", "http://story\n.example/",
    "http://story.example\x00.evil.example/", "http://[", "http://[::1", "http://story.example:x/", "http://\ud800/",
]  # fmt: skip


async def test_what_config_does_not_name_is_denied_before_anybody_is_asked() -> None:
    resolver = Resolver()
    assert {url: await code(url, resolver) for url in NOT_NAMED} == dict.fromkeys(NOT_NAMED, "denied")
    assert resolver.asked == []


async def test_what_programs_read_in_two_ways_is_no_address() -> None:
    assert {url: await code(url, Resolver()) for url in TWO_WAYS} == dict.fromkeys(TWO_WAYS, "invalid_arguments")


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["169.254.169.254"], ["::ffff:10.0.0.1"], []], ids=str
)
async def test_a_name_that_leads_into_a_network_of_ours_is_denied_even_if_only_one_address_does(
    addresses: list[str],
) -> None:
    assert await code("http://story.example/", Resolver(story_example=[addresses])) == "denied"


async def test_the_system_says_where_localhost_is_and_it_is_denied() -> None:
    tool = fetch_tool(FetchConfig(hosts=("*",), ports=(80,), http=True))
    for url in ("http://localhost/", "http://127.1/", "http://0/", "http://127.000.000.001/"):
        with pytest.raises(ToolError) as caught:
            await tool(url=url)
        assert caught.value.code in ("denied", "failed")


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="here")

    async with serving(handler) as port:
        # Whoever asks twice is answered otherwise the second time.
        resolver = Resolver(story_example=[["127.0.0.1"], ["169.254.169.254"]])
        page = await fetch(f"http://story.example:{port}/", resolver, port)
    assert page.text == "here"
    assert resolver.asked == ["story.example"]


@pytest.mark.parametrize(
    ("location", "ends"),
    [
        ("/there", "there"),
        ("http://other.story.example:{port}/there", "there"),
        ("//story.example:{port}/there", "there"),
        ("http://169.254.169.254:{port}/latest/meta-data", "denied"),
        ("http://[::ffff:169.254.169.254]:{port}/", "denied"),
        ("http://inside.story.example:{port}/", "denied"),
        ("http://evil.example:{port}/", "denied"),
        ("http://story.example:{other}/", "denied"),
        ("http://user:pass@story.example:{port}/", "denied"),
        ("file:///etc/passwd", "denied"),
        ("http://[", "failed"),
        ("/again", "failed"),
    ],
)
async def test_each_redirect_is_checked_as_the_first_address_was(location: str, ends: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/there":
            return web.Response(text="there")
        where = "/again" if request.path == "/again" else location.format(port=port, other=port + 1)
        return web.Response(status=302, headers={"Location": where})

    resolver = Resolver(story_example=HERE, other_story_example=HERE, inside_story_example=[["10.0.0.1"]])
    async with serving(handler) as port:
        url = f"http://story.example:{port}/"
        if ends == "there":
            assert (await fetch(url, resolver, port)).text == ends
        else:
            assert await code(url, resolver, port) == ends


async def test_what_is_long_slow_packed_or_no_text_is_refused() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/long":
            return web.Response(text="x" * 1001)
        if request.path == "/packed":
            bomb = zlib.compress(b"x" * 1_000_000)
            return web.Response(body=bomb, content_type="text/plain", headers={"Content-Encoding": "deflate"})
        if request.path == "/picture":
            return web.Response(body=b"x", content_type="image/png")
        if request.path == "/odd":
            return web.Response(body=b"a-", headers={"Content-Type": "text/plain; charset=punycode"})
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        if request.path == "/endless":
            while True:
                await response.write(b"x" * 100)
        await response.write(b"x")
        await anyio.sleep_forever()
        return response

    async with serving(handler) as port:
        ends = {}
        for path, timeout in (("long", 9.0), ("packed", 9.0), ("picture", 9.0), ("endless", 9.0), ("drip", 0.2)):
            url, resolver = f"http://story.example:{port}/{path}", Resolver(story_example=HERE)
            ends[path] = await code(url, resolver, port, max_bytes=1000, timeout=timeout)
        odd = await fetch(f"http://story.example:{port}/odd", Resolver(story_example=HERE), port)
    assert odd.text == "a-"
    assert ends == {
        "long": "too_large", "packed": "failed", "picture": "failed", "endless": "too_large", "drip": "timed_out"
    }  # fmt: skip


async def test_no_proxy_of_the_environment_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="straight")

    async with serving(handler) as port:
        assert (await fetch(f"http://story.example:{port}/", Resolver(story_example=HERE), port)).text == "straight"


async def test_only_what_is_encrypted_is_fetched_unless_config_says_otherwise() -> None:
    assert await code("http://story.example/", Resolver(), http=False) == "denied"
