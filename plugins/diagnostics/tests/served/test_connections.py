"""Bytes as they come: slow, broken, too many, or none."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import trustme

from tta_diagnostics import DiagnosticsPlugin
from tta_http import HttpPlugin, Nothing, Principal, Stream
from tta_kernel import Kernel, KernelSettings, PluginSettings
from tta_kernel.errors import PluginError

from .deployment import Ask, Serve, Told, rest_of, route

GET = b"GET /things/7 HTTP/1.1\r\nHost: localhost\r\n"


def told(answer: bytes) -> tuple[int, str]:
    """Return the status and the code of a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer
    problem = json.loads(body)
    assert f"X-Correlation-Id: {problem['correlation_id']}".encode() in head
    return int(head.split()[1]), str(problem["code"])


@pytest.mark.parametrize(
    "sent",
    [
        b"SECRET\r\n\r\n",
        b"\x16\x03\x01SECRET\x00\x01\r\n\r\n",
        b"GET SECRET HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nSECRET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: SECRET\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: SECRET\x00\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_without_what_it_says(serve: Serve, sent: bytes) -> None:
    async with serve(route()) as deployment:
        answer = await deployment.send(sent)

        assert told(answer) == (400, "bad-request")
        assert b"SECRET" not in answer
        assert (await deployment.get("/things/7")).status == 200


async def test_a_header_that_never_ends_is_given_up(serve: Serve) -> None:
    async with serve(route(), header_timeout=0.1) as deployment:
        assert told(await deployment.send(GET)) == (408, "request-timeout")
        assert await deployment.send() == b""


async def test_a_header_that_comes_byte_by_byte_is_given_up_all_the_same(serve: Serve) -> None:
    async with (
        serve(route(), header_timeout=0.3) as deployment,
        await anyio.connect_tcp("127.0.0.1", deployment.port) as stream,
        anyio.create_task_group() as tasks,
    ):

        async def drip() -> None:
            for byte in GET * 100:
                await stream.send(bytes([byte]))
                await anyio.sleep(0.01)

        tasks.start_soon(drip)
        answer = await rest_of(stream)
        tasks.cancel_scope.cancel()
    assert told(answer) == (408, "request-timeout")


async def test_a_header_that_is_too_large_is_refused(serve: Serve) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(40))
    async with serve(route(), longest_header=8_000) as deployment:
        for answer in (
            await deployment.send(GET, many[:9_000]),
            await deployment.send(GET + b"X: " + b"a" * 50_000),
            await deployment.send(GET + many + b"Connection: close\r\n\r\n"),
            await deployment.send(GET + b"X: " + b"a" * 9_000 + b"\r\n\r\n"),
        ):
            assert told(answer) == (431, "headers-too-large")


async def test_a_body_that_never_comes_is_given_up(serve: Serve) -> None:
    head = b"POST /things/7 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
    async with serve(route(method="POST"), body_timeout=0.1) as deployment:
        assert told(await deployment.send(head, b"{")) == (408, "request-timeout")


async def test_a_body_that_breaks_off_harms_nobody(serve: Serve) -> None:
    head = b"POST /things/7 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
    async with serve(route(method="POST"), body_timeout=0.5) as deployment:
        await deployment.send(head, b"{", end=True)
        assert (await deployment.get("/livez")).status == 200


async def test_whoever_waits_to_be_told_to_go_on_is_told(serve: Serve) -> None:
    head = (
        b"POST /things/7 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    )
    async with (
        serve(route(method="POST")) as deployment,
        await anyio.connect_tcp("127.0.0.1", deployment.port) as stream,
    ):
        await stream.send(head)
        assert await stream.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await stream.send(b"{}")
        assert (await rest_of(stream)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_several_requests_on_one_connection_are_answered_in_order(serve: Serve) -> None:
    second = GET.replace(b"/7", b"/8") + b"Connection: close\r\n\r\n"
    async with serve(route()) as deployment:
        answer = await deployment.send(GET + b"\r\n" + second)

    assert answer.index(b'"id":"7"') < answer.index(b'"id":"8"')


async def test_the_form_of_a_target_for_proxies_is_understood(serve: Serve) -> None:
    async with serve(route()) as deployment:
        line = b"GET http://localhost/things/7?many=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await deployment.send(line)

    assert answer.endswith(b'{"id":"7","many":2}')


@pytest.mark.parametrize("authority", [b"evil.example", b"localhost.evil.example", b"", b"ops:key@localhost"])
async def test_a_target_for_proxies_that_is_of_another_server_is_refused(serve: Serve, authority: bytes) -> None:
    async with serve(route()) as deployment:
        line = b"GET http://%s/things/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % authority
        status, code = told(await deployment.send(line))

    assert (status, code) in ((421, "misdirected"), (400, "bad-request"))


async def test_whoever_has_said_all_and_closes_that_side_is_answered(serve: Serve) -> None:
    async def late(request: Ask, principal: Principal) -> Told:
        await anyio.sleep(0.05)
        return Told(request.id)

    async with serve(route(handler=late), idle_timeout=30) as deployment:
        with anyio.fail_after(10):
            answer = await deployment.send(GET + b"\r\n", end=True)
            both = await deployment.send(GET + b"\r\n" + GET.replace(b"/7", b"/8") + b"\r\n", end=True)
        assert await deployment.send(GET, end=True) == b""

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert both.index(b'"id":"7"') < both.index(b'"id":"8"')


async def test_whoever_reads_nothing_is_cut_off(serve: Serve) -> None:
    ended = anyio.Event()

    async def pour(request: Nothing, principal: Principal) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            ended.set()

    endless = route("/pour", request=Nothing, response=Stream(), handler=pour)
    async with (
        serve(endless, write_timeout=0.2) as deployment,
        await anyio.connect_tcp("127.0.0.1", deployment.port) as stream,
    ):
        await stream.send(b"GET /pour HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with anyio.fail_after(10):
            await ended.wait()


async def test_one_connection_too_many_is_told(serve: Serve) -> None:
    async with (
        serve(route(), connections=2) as deployment,
        await anyio.connect_tcp("127.0.0.1", deployment.port) as first,
    ):
        await first.send(GET)
        assert told(await deployment.send(GET)) == (503, "unavailable")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "local host", "[::1"])
async def test_a_name_that_is_not_ours_is_refused_but_for_probes(serve: Serve, host: str) -> None:
    async with serve(route()) as deployment:
        refused = await deployment.get("/things/7", Host=host)
        probe = await deployment.get("/livez", Host=host)

    assert (refused.status, refused.code) == (421, "misdirected")
    assert probe.status == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80", "192.0.2.1", "other", "tta.example"]
)
async def test_a_name_that_is_ours_and_any_address_is_accepted(serve: Serve, host: str) -> None:
    async with serve(route(), hosts=["other"], http={"public_url": "https://tta.example"}) as deployment:
        assert (await deployment.get("/things/7", Host=host)).status == 200


async def test_a_request_has_one_host(serve: Serve) -> None:
    async with serve(route()) as deployment:
        assert told(await deployment.send(b"GET /things/7 HTTP/1.1\r\nConnection: close\r\n\r\n"))[0] == 400
        assert told(await deployment.send(GET + b"Host: localhost\r\nConnection: close\r\n\r\n"))[0] == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403), ("null", 403), ("https://localhost:1", 403), ("http://localhost:1", 200),
        ("https://tta.example", 200),
    ],
)  # fmt: skip
async def test_pages_of_another_origin_may_not_ask(serve: Serve, origin: str, status: int) -> None:
    async with serve(route(), http={"public_url": "https://tta.example"}) as deployment:
        assert (await deployment.get("/things/7", Host="localhost:1", Origin=origin)).status == status


async def test_it_serves_on_a_unix_socket_that_only_its_owner_opens(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "tta.sock"
    async with serve(route(), listeners=[{"port": 0}, {"socket": str(path)}]) as deployment:
        assert deployment.addresses[1] == f"http+unix://{path}"
        assert path.stat().st_mode & 0o777 == 0o600
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://any.name/things/7") as found,
        ):
            assert found.status == 200
    assert not path.exists()


async def test_a_socket_that_a_killed_process_left_is_replaced(serve: Serve, tmp_path: Path) -> None:
    import socket

    path = tmp_path / "tta.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serve(route(), listeners=[{"port": 0}, {"socket": str(path)}]) as deployment:
        assert len(deployment.addresses) == 2
        with pytest.raises(PluginError, match="is in use by another process"):
            async with serve(route(), listeners=[{"socket": str(path)}]):
                raise AssertionError


async def test_it_speaks_tls(serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    tls = {"certificate": str(tmp_path / "both.pem"), "key": str(tmp_path / "both.pem")}
    async with serve(route(), listeners=[{"port": 0}, {"port": 0, "tls": tls}]) as deployment:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        address = deployment.addresses[1].replace("127.0.0.1", "localhost")
        assert address.startswith("https://")
        async with deployment.client.get(f"{address}/things/7", ssl=context) as found:
            assert found.status == 200


async def test_whoever_begins_tls_and_says_no_more_is_given_up(serve: Serve, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    tls = {"certificate": str(tmp_path / "both.pem"), "key": str(tmp_path / "both.pem")}
    async with serve(route(), listeners=[{"port": 0, "tls": tls}], wait=False, header_timeout=0.2) as deployment:
        for sent in (b"", b"\x16\x03\x01\x02\x00"):
            async with await anyio.connect_tcp("127.0.0.1", deployment.port) as stream:
                await stream.send(sent)
                assert await rest_of(stream) == b""


async def test_a_port_that_is_taken_is_told_with_the_way_out(serve: Serve) -> None:
    async with serve(route()) as deployment:
        with pytest.raises(PluginError) as caught:
            async with serve(route(), listeners=[{"port": deployment.port}]):
                raise AssertionError
    assert "is in use by another process" in str(caught.value)
    assert "0: any that is free" in str(caught.value)


async def test_a_port_that_is_taken_under_a_server_that_may_fail_is_told_without_a_traceback(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(route()) as deployment:
        listeners = [{"port": deployment.port}]
        settings = KernelSettings(
            plugins={"diagnostics": PluginSettings(required=False, config={"listeners": listeners})}
        )
        plugins: dict[str, Any] = {"http": HttpPlugin, "diagnostics": DiagnosticsPlugin}
        async with Kernel(settings, plugins=plugins) as kernel:
            assert "is in use by another process" in kernel.records["diagnostics"].reason
    [told] = [record for record in caplog.records if "is in use by another process" in record.getMessage()]
    assert told.exc_info is None
