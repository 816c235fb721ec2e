"""Apprise, against a real receiver."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from aiohttp import web

from tta_kernel.testing import problems
from tta_notify import ChannelError, Message
from tta_notify.apprise import AppriseChannel, NotifyApprise
from tta_notify.channels import send_through
from tta_notify.testing.receivers import serving

# Apprise's own, as it looks for libraries that it could use.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MESSAGE = Message(
    id="d1", key="k1", topic="crisis", severity="high", subject="a person needs you", body="soon", at=1.0, to="a/b"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def url_of(url: str) -> str:
    return url.replace("http://", "json://")


async def test_a_message_goes_out_to_the_person_s_own_address() -> None:
    got: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        got.append((await request.json(), request.query_string))
        return web.Response()

    async with serving(handler) as url:
        channel = AppriseChannel("chat", f"{url_of(url)}?-to={{to}}")
        assert channel.personal
        await send_through(channel, MESSAGE, 20.0)
    [(body, query)] = got
    assert body["title"] == "[high] a person needs you"
    assert "soon" in body["message"]
    assert query == "to=a/b"


async def test_what_is_not_taken_is_tried_again() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=500)

    async with serving(handler) as url:
        with pytest.raises(ChannelError, match="refused") as caught:
            await send_through(AppriseChannel("chat", url_of(url)), MESSAGE, 20.0)
    assert caught.value.retryable
    with pytest.raises(ChannelError, match="refused"):
        await send_through(AppriseChannel("chat", "no-such-service://x"), MESSAGE, 20.0)


async def test_a_service_that_hangs_is_left_when_its_time_is_over() -> None:
    done = anyio.Event()

    async def handler(request: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    async with serving(handler) as url:
        with anyio.fail_after(20), pytest.raises(ChannelError, match="time-limit"):
            await send_through(AppriseChannel("chat", url_of(url)), MESSAGE, 0.3)
        done.set()


def test_a_channel_without_a_place_for_an_address_has_its_own() -> None:
    assert not AppriseChannel("chat", "json://localhost/hook").personal
    assert problems(NotifyApprise, config={"channels": {"chat": "json://localhost/hook"}}) == []
