"""Webhooks, against a real receiver: one that works, and one that is down, slow or lying."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import web

from tta_kernel.testing import problems
from tta_notify import ChannelError, Message
from tta_notify.channels import send_through
from tta_notify.testing.receivers import serving, unused_port
from tta_notify.webhook import Endpoint, NotifyWebhook, WebhookChannel

MESSAGE = Message(
    id="d1", key="k1", topic="crisis", severity="critical", subject="a person needs you", body="", at=1.0,
    about={"intervention": "i"},
)  # fmt: skip
SECRET = "whsec_" + base64.b64encode(b"sixteen bytes and more").decode()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def channel(url: str, secret: str = SECRET) -> WebhookChannel:
    return WebhookChannel("pager", Endpoint(url, secret))


@pytest.mark.parametrize("secret", [SECRET, "sixteen bytes and more"])
async def test_a_receiver_can_see_who_sent_it_and_that_it_came_before(secret: str) -> None:
    got: list[tuple[Any, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        got.append((request.headers, await request.read()))
        return web.Response(status=202)

    async with serving(handler) as url:
        assert (await send_through(channel(url, secret), MESSAGE, 10.0)).said == "202"
        await send_through(channel(url, secret), MESSAGE, 10.0)
    (headers, body), (again, _) = got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = hmac.new(b"sixteen bytes and more", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(wanted).decode()}"
    assert again["webhook-id"] == headers["webhook-id"] == "d1"
    assert msgspec.json.decode(body, type=Message) == MESSAGE


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (503, True), (401, True), (302, True), (410, False)])
async def test_what_a_receiver_refuses_is_tried_again_unless_it_is_for_good(status: int, retryable: bool) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with serving(handler) as url:
        with pytest.raises(ChannelError, match=f"HTTP {status}") as caught:
            await send_through(channel(url), MESSAGE, 10.0)
    assert caught.value.retryable is retryable


async def test_a_receiver_that_is_down_is_one_to_try_again() -> None:
    with pytest.raises(ChannelError) as caught:
        await send_through(channel(f"http://127.0.0.1:{unused_port()}/secret-path"), MESSAGE, 10.0)
    assert caught.value.retryable
    assert "secret-path" not in f"{caught.value} {caught.value.__cause__!r}"


async def test_a_receiver_that_is_slow_is_left_when_its_time_is_over() -> None:
    async def handler(request: web.Request) -> web.Response:
        await anyio.sleep_forever()
        raise AssertionError

    async with serving(handler) as url:
        with anyio.fail_after(10), pytest.raises(ChannelError, match="time-limit"):
            await send_through(channel(url), MESSAGE, 0.3)


async def test_a_receiver_that_closes_in_the_middle_is_one_to_try_again() -> None:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with serving(handler) as url:
        with pytest.raises(ChannelError, match=r"ServerDisconnectedError|ClientOSError") as caught:
            await send_through(channel(url), MESSAGE, 10.0)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("endpoint", "where"),
    [
        ({"url": "http://example.org/hook", "secret": SECRET}, "pager.url: isn't https"),
        ({"url": "https://example.org/hook", "secret": "short"}, "pager.secret"),
        ({"url": "https://example.org/hook", "secret": "whsec_%%"}, "pager.secret"),
    ],
)
def test_what_makes_no_sense_is_refused(endpoint: dict[str, str], where: str) -> None:
    found = problems(NotifyWebhook, config={"channels": {"pager": endpoint}})
    assert any(where in each for each in found), found
    assert (
        problems(NotifyWebhook, config={"channels": {"pager": {"url": "http://127.0.0.1:80/", "secret": SECRET}}}) == []
    )
